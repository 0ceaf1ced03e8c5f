//! Streams: what was not taken when the wait for the next item was dropped comes next.

use hopmq::{Confirms, Conn, Queue};

use super::{Bench, Point};
use crate::place::{Outcome, Place, default_exchange, fill, text, until};

dropped_at_each_point!(
    on_both_brokers:
    consuming_automatically,
    waiting_for_automatic_deliveries,
    waiting_for_one_confirm_of_many,
    waiting_for_all_confirms,
    publishing_with_a_handle_of_its_own,
    publishing_without_confirms,
    publishing_many_into_a_full_window,
    publishing_many_without_confirms,
    finding,
);

async fn consuming_automatically(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let queue = bench.chan.declare(Queue::classic(at.name("inbox"))).await?;
    for point in Point::all() {
        let consumer = point.reach(bench.chan.consume(&queue).automatic_ack()).await;
        bench.works().await?;
        if let Some(consumer) = consumer {
            let mut consumer = consumer?;
            fill(&bench.chan, &queue, &["a"]).await?;
            assert_eq!(text(&consumer.next().await.ok_or("it goes on")??), "a");
            return Ok(());
        }
        // An orphan is cancelled.
        until(async || Ok(bench.chan.counts(&queue).await?.consumers == 0)).await?;
    }
    Err("it never ends".into())
}

async fn waiting_for_automatic_deliveries(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let mut consumer = bench.chan.consume(&bench.queue).automatic_ack().await?;
    let mut texts = Vec::new();
    for (number, point) in Point::all().take(9).enumerate() {
        fill(&bench.chan, &bench.queue, &[&number.to_string()]).await?;
        if let Some(delivery) = point.reach(consumer.next()).await {
            texts.push(text(&delivery.ok_or("it goes on")??));
        }
    }
    while texts.len() < 9 {
        texts.push(text(&consumer.next().await.ok_or("it goes on")??));
    }
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "none is lost");
    bench.works().await
}

/// Confirms of two messages that arrive and of one that comes back.
async fn three(bench: &Bench, nobody: &str) -> Outcome<Confirms> {
    let (default, mut confirms) = (default_exchange(), Confirms::new());
    for _ in 0..2 {
        confirms.push(bench.chan.publish(&default, &bench.queue, b"x").mandatory().await?);
    }
    confirms.push(bench.chan.publish(&default, nobody, b"x").mandatory().await?);
    Ok(confirms)
}

async fn waiting_for_one_confirm_of_many(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let nobody = at.name("nobody");
    for point in Point::all() {
        let mut confirms = three(&bench, &nobody).await?;
        let first = point.reach(confirms.next()).await;
        let done = first.is_some();
        let mut outcomes = vec![first.flatten().map(|outcome| outcome.is_ok())];
        while let Some(outcome) = confirms.next().await {
            outcomes.push(Some(outcome.is_ok()));
        }
        let of = |wanted| outcomes.iter().filter(|outcome| **outcome == Some(wanted)).count();
        assert_eq!((of(true), of(false)), (2, 1), "{point:?}");
        assert_eq!(bench.chan.purge(&bench.queue).await?, 2);
        bench.works().await?;
        if done {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_all_confirms(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let nobody = at.name("nobody");
    for point in Point::all() {
        let all = point.reach(three(&bench, &nobody).await?.all()).await;
        // Nobody waits for them any more: those that come later are told apart all the same.
        let routed =
            bench.chan.publish(&default_exchange(), &bench.queue, b"x").mandatory().await?;
        routed.await?;
        assert_eq!(bench.chan.purge(&bench.queue).await?, 3);
        bench.works().await?;
        if let Some(all) = all {
            assert!(all.is_err(), "one came back");
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing_with_a_handle_of_its_own(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let (publisher, default) = (bench.chan.publisher(), default_exchange());
    for point in Point::all() {
        let confirm = point.reach(publisher.publish(&default, &bench.queue, b"x")).await;
        let sent = confirm.is_some();
        if let Some(confirm) = confirm {
            confirm?.await?;
        }
        publisher.publish(&default, &bench.queue, b"y").await?.await?;
        assert_eq!(bench.chan.purge(&bench.queue).await?, 1 + u32::from(sent), "{point:?}");
        bench.works().await?;
        if sent {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing_without_confirms(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let (chan, default) = (bench.conn.open_channel().await?, default_exchange());
    for point in Point::all() {
        let sent = point.reach(chan.publish_unconfirmed(&default, &bench.queue, b"x")).await;
        // RabbitMQ's queue may answer before it has what was published without a confirm.
        let count = u32::from(sent.is_some());
        until(async || Ok(chan.counts(&bench.queue).await?.messages == count)).await?;
        bench.chan.purge(&bench.queue).await?;
        bench.works().await?;
        if let Some(sent) = sent {
            return Ok(sent?);
        }
    }
    Err("it never ends".into())
}

async fn publishing_many_into_a_full_window(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let mut config = at.config();
    config.limits.window_messages = 2;
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let default = default_exchange();
    for point in Point::all() {
        let five = chan.publish_all(&default, &bench.queue, [b"x"; 5]).mandatory();
        let confirms = point.reach(five).await;
        let sent = confirms.is_some();
        if let Some(confirms) = confirms {
            confirms?.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
        }
        until(async || Ok(conn.stats().unconfirmed == 0)).await?;
        chan.publish(&default, &bench.queue, b"y").await?.await?;
        let count = bench.chan.purge(&bench.queue).await?;
        assert!(count <= 6 && (count == 6 || !sent), "{count} at {point:?}");
        bench.works().await?;
        if sent {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing_many_without_confirms(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let (chan, default) = (bench.conn.open_channel().await?, default_exchange());
    for point in Point::all() {
        let many = chan.publish_all_unconfirmed(&default, &bench.queue, [b"x"; 5]);
        let sent = point.reach(many).await;
        // RabbitMQ's queue may answer before it has what was published without a confirm.
        let count = if sent.is_some() { 5 } else { 0 };
        until(async || Ok(chan.counts(&bench.queue).await?.messages == count)).await?;
        bench.chan.purge(&bench.queue).await?;
        bench.works().await?;
        if let Some(sent) = sent {
            assert_eq!(sent?, 5);
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn finding(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let name = at.name("found");
    bench.chan.declare(Queue::classic(&name)).await?;
    for point in Point::all() {
        let found = point.reach(bench.conn.find(Queue::classic(&name))).await;
        bench.works().await?;
        if let Some(found) = found {
            assert!(found?.is_some(), "it is there");
            return Ok(());
        }
    }
    Err("it never ends".into())
}
