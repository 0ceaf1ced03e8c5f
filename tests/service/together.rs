//! A whole service: settings, pools, typed publishers and workers, many at once.

use std::{collections::BTreeSet, time::Duration};

use hopmq::{
    Exchange, Queue,
    service::{Failure, Message, Once, Publisher, RecentIds, Settings, Text},
};

use crate::{
    kit::Seen,
    place::{Outcome, Place},
};

on_both_brokers!(many_publish_and_many_consume_at_once_and_nothing_is_lost);

const TASKS: usize = 6;
const EACH: usize = 25;

/// Six tasks publish to two queues, each message over whatever channel is free, while a worker serves each
/// queue.
async fn many_publish_and_many_consume_at_once_and_nothing_is_lost(at: Place) -> Outcome {
    let settings = Settings::new(at.config())
        .connection_name("together")
        .pool_size(2)
        .max_channels_per_connection(2)
        .prefetch_count(10)
        .consumer_timeout(Duration::from_secs(60));
    let (publishers, consumers) = (settings.publishers()?.confirming()?, settings.consumers()?);
    let (mut all_seen, mut workers, mut queues) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["apples", "pears"] {
        let chan = consumers.get().await?;
        let queue = chan.declare(Queue::classic(at.name(name))).await?;
        let consumer = chan.consume(&queue).prefetch(settings.prefetch_count).await?;
        let seen = Seen::default();
        let (handled, stop) = (seen.clone(), seen.clone());
        let handler = move |message: Message<String>| {
            handled.push(message.payload);
            async { Ok::<_, Failure>(()) }
        };
        let worker = settings.worker(consumer, Text);
        workers.push(tokio::spawn(async move {
            let run = worker.run_until(handler, async move {
                stop.wait(TASKS / 2 * EACH).await;
            });
            let served = run.await;
            drop(chan);
            served
        }));
        queues.push(queue);
        all_seen.push(seen);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (publishers, queue) = (publishers.clone(), queues[task % 2].clone());
        tasks.spawn(async move {
            for number in 0..EACH {
                let chan = publishers.get().await?;
                let publisher =
                    Publisher::new(chan.publisher(), Exchange::default_exchange(), Text);
                publisher.publish(&queue, &Message::new(format!("{task}.{number}"))).await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let mut completed = 0;
    for worker in workers {
        completed += worker.await??.completed;
    }
    let all: BTreeSet<_> = all_seen.iter().flat_map(Seen::all).collect();
    assert_eq!((completed, all.len()), ((TASKS * EACH) as u64, TASKS * EACH));
    let status = publishers.status();
    assert!(status.created <= 4 && status.evicted.total() == 0, "{status:?}");
    assert_eq!(consumers.close().await.channels_left, 0);
    assert_eq!(publishers.close().await.channels_left, 0);
    Ok(())
}

mod own_nodes {
    use hopmq::{ConnectionState, service::pool::ChanPool};

    use super::*;
    use crate::{
        node::Node,
        place::{is_pending, take, until},
    };

    /// The same pools before and after: connections, channels, and what was declared come back, no message
    /// is lost, and their order is kept.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn pools_go_on_after_the_broker_was_killed() -> Outcome {
        let node = Node::start();
        let settings = Settings::new(node.uri().parse::<hopmq::Config>()?);
        let (publishers, consumers) = (settings.publishers()?.confirming()?, settings.consumers()?);
        let chan = publishers.get().await?;
        let news = chan.declare(Exchange::fanout("news")).await?;
        let kept = chan.declare(Queue::classic("kept")).await?;
        chan.bind(&kept, &news, ()).await?;
        let publisher = Publisher::new(chan.publisher(), news.clone(), Text);
        drop(chan);
        let chan = consumers.get().await?;
        // Gone with its connection, and declared again.
        let own = chan.declare(Queue::server_named()).await?;
        chan.bind(&own, &news, ()).await?;
        let mut consumer = chan.consume(&own).automatic_ack().await?;
        let texts: Vec<String> = (0..60).map(|number: u32| number.to_string()).collect();
        let messages: Vec<_> = texts.iter().cloned().map(Message::new).collect();
        for (number, message) in messages.iter().enumerate() {
            if number == 30 {
                tokio::task::block_in_place(|| {
                    node.sync_definitions();
                    node.kill();
                    node.restart();
                });
                // The consumer's connection is back with all that was declared on it.
                until(async || {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let stats = &consumers.status().connections[0].stats;
                    let is_back = stats.state == ConnectionState::Connected;
                    Ok(is_back && stats.machine.recoveries >= 1)
                })
                .await?;
            }
            publisher.publish((), message).await?;
        }
        let status = (publishers.status(), consumers.status());
        assert_eq!((status.0.connections_created, status.1.connections_created), (1, 1));
        assert_eq!((status.0.evicted.total(), status.1.evicted.total()), (0, 0));
        loop {
            let received = consumer.next().await.ok_or("a message")??;
            if received.body().into_bytes() == texts[59] {
                break;
            }
        }
        drop((consumer, chan));

        let chan = consumers.get().await?;
        let seen = Seen::default();
        let (handled, stop) = (seen.clone(), seen.clone());
        let handler = move |message: Message<String>| {
            handled.push(message.payload);
            async { Ok::<_, Failure>(()) }
        };
        let worker = settings.worker(chan.consume(&kept).await?, Text).order_by(|_| ());
        let run = worker.run_until(Once::new(handler, RecentIds::new(100)), async move {
            // What does not come within a minute is lost, as the figures below then say.
            let _ = tokio::time::timeout(Duration::from_secs(60), stop.wait(60)).await;
        });
        run.await?;
        assert_eq!(seen.all(), texts);
        Ok(())
    }

    /// RabbitMQ reads no more from connections that publish: those that consume are others.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn an_alarm_on_publishers_stalls_no_acks() -> Outcome {
        let node = Node::start();
        let config: hopmq::Config = node.uri().parse()?;
        let publishers = ChanPool::publishing(config.clone()).build()?;
        let consumers = ChanPool::consuming(config).build()?;
        let publisher = publishers.get().await?;
        let queue = publisher.declare(Queue::classic("inbox")).await?;
        for _ in 0..10 {
            publisher.publish(&Exchange::default_exchange(), &queue, b"x").await?.await?;
        }
        let watermark = |mark: &str| {
            tokio::task::block_in_place(|| node.ctl(&["set_vm_memory_high_watermark", mark]));
        };
        watermark("0");
        let default = Exchange::default_exchange();
        // RabbitMQ tells a connection of its alarm once that publishes.
        let mut blocked = Box::pin(async {
            publisher.publish(&default, &queue, b"y").await?.await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        while !publishers.status().connections[0].stats.is_blocked {
            if !is_pending(&mut blocked).await {
                return Err("it is published in spite of the alarm".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let chan = consumers.get().await?;
        let mut consumer = chan.consume(&queue).prefetch(1).await?;
        for _ in 0..10 {
            // With one at a time the next comes only when the ack has arrived.
            take(&mut consumer).await?.ack()?;
        }
        publishers.check().await;
        assert_eq!(publishers.status().connections_evicted.total(), 0);
        watermark("0.4");
        blocked.await?;
        take(&mut consumer).await?.ack()?;
        Ok(())
    }
}
