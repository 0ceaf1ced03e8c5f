//! Connections are lost and brokers restart: through all layers nothing is lost, and order is kept.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use hopmq::{
    Config, Conn, Exchange, Queue,
    service::{Failure, Message, Once, Publisher, RecentIds, Text, Worker},
};

use crate::{
    kit::Seen,
    place::{Outcome, Place},
};

on_the_embedded_broker!(what_is_cut_arrives_all_the_same);

async fn what_is_cut_arrives_all_the_same(at: Place) -> Outcome {
    let seen = served_through(at.config(), at.name("orders"), || {
        at.broker().faults().cut_connections();
    });
    let mut seen = seen.await?;
    seen.sort_by_key(|text| text.parse::<u32>().ok());
    assert_eq!(seen, numbers());
    Ok(())
}

fn numbers() -> Vec<String> {
    (0..60).map(|number: u32| number.to_string()).collect()
}

/// A handler that notes what came.
fn noting_in(seen: &Seen) -> impl Fn(Message<String>) -> Ready<Result<(), Failure>> + use<> {
    let seen = seen.clone();
    move |message| {
        seen.push(message.payload);
        ready(Ok(()))
    }
}

/// Publishes sixty messages one after the other while a worker processes them, with a mishap after each
/// twenty, and gives what was processed.
async fn served_through(
    config: Config,
    name: String,
    mut mishap: impl FnMut(),
) -> Outcome<Vec<String>> {
    let publishing = Conn::new(config.clone()).connect().await?;
    let consuming = Conn::new(config).connect().await?;
    let chan = consuming.open_channel().await?;
    let queue = chan.declare(Queue::quorum(name)).await?;
    let seen = Seen::default();
    let (handler, stop) = (noting_in(&seen), seen.clone());
    let worker = Worker::new(chan.consume(&queue).await?, Text).order_by(|_| ());
    let worker =
        tokio::spawn(worker.run_until(Once::new(handler, RecentIds::new(1000)), async move {
            stop.wait(60).await;
        }));
    let confirming = publishing.open_channel().await?.confirm_select().await?;
    let publisher = Publisher::new(confirming, Exchange::default_exchange(), Text);
    for (number, text) in numbers().into_iter().enumerate() {
        publisher.publish(&queue, &Message::new(text)).await?;
        if number % 20 == 19 {
            mishap();
        }
    }
    worker.await??;
    Ok(seen.all())
}

mod own_nodes {
    use super::*;
    use crate::node::Node;

    /// Messages survive a restart of the broker in their order, none is lost.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn messages_survive_a_restart_in_order() -> Outcome {
        let node = Node::start();
        let config: Config = node.uri().parse()?;
        let conn = Conn::new(config.clone()).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic("orders")).await?;
        let publisher = Publisher::new(chan, Exchange::default_exchange(), Text);
        let messages: Vec<_> = numbers().into_iter().map(Message::new).collect();
        publisher.publish_all(messages.iter().map(|message| (&queue, message))).await?;
        tokio::task::block_in_place(|| {
            node.sync_definitions();
            node.kill();
            node.restart();
        });
        // Another connection, as after a restart of the service too.
        let conn = Conn::new(config).connect().await?;
        let chan = conn.open_channel().await?;
        let queue = chan.declare(Queue::classic("orders")).await?;
        let seen = Seen::default();
        let (handler, stop) = (noting_in(&seen), seen.clone());
        let worker = Worker::new(chan.consume(&queue).await?, Text).order_by(|_| ());
        let run = worker.run_until(handler, async move {
            // What does not come within a minute is lost, as the figures below then say.
            let _ = tokio::time::timeout(Duration::from_secs(60), stop.wait(60)).await;
        });
        assert_eq!(run.await?.completed, 60);
        assert_eq!(seen.all(), numbers());
        Ok(())
    }
}
