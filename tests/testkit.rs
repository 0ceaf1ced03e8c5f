//! The test kit: assertions wait until they hold, and say what was there instead.

use std::{error::Error, time::Duration};

use hopmq::{
    Config, Conn, DeadLetter, Exchange, Message, Queue,
    testkit::{KitError, TestKit},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What takes longer does not happen.
const LITTLE: Duration = Duration::from_millis(50);

fn said(error: Result<(), KitError>) -> String {
    format!("{:?}", error.expect_err("it does not hold"))
}

/// A service under test: takes orders, acks those that it can read, and rejects the others.
async fn serve(config: Config) -> Outcome {
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?;
    let refused = chan.declare(Queue::classic("refused")).await?;
    let orders = Queue::classic("orders").dead_letter(DeadLetter::to_queue(&refused));
    let orders = chan.declare(orders).await?;
    let mut deliveries = chan.consume(&orders).prefetch(10).await?;
    while let Some(order) = deliveries.next().await {
        let order = order?;
        match order.contiguous_body() {
            Some(body) if body.starts_with(b"order") => order.ack()?,
            _ => order.reject()?,
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_service_is_tested_from_outside() -> Outcome {
    let kit = TestKit::start().await?;
    tokio::spawn(serve(kit.config()));
    kit.queue("orders").has_consumers(1).await?;
    kit.has_connections(1).await?;

    for body in ["order 1", "nonsense", "order 2"] {
        kit.queue("orders").put(body).await?;
    }
    kit.queue("refused").has_dead_letters(1, "orders").await?;
    kit.queue("refused").holds(["nonsense"]).await?;
    kit.queue("orders").is_empty().await?;
    kit.nothing_unsettled().await?;

    assert_eq!(kit.cut(), 1);
    kit.queue("orders").has_consumers(1).await?;
    kit.queue("orders").put("order 3").await?;
    kit.queue("orders").is_empty().await?;
    kit.queue("refused").keeps(1, LITTLE).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_published_can_be_seen_and_taken() -> Outcome {
    let kit = TestKit::start().await?;
    let chan = kit.chan();
    let orders = chan.declare(Exchange::topic("orders")).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.bind(&inbox, &orders, "order.#").await?;
    kit.publish("orders", "order.created", Message::text("first")).await?;
    kit.publish("", "inbox", Message::text("second").header("colour", "red")).await?;

    let inbox = kit.queue("inbox");
    inbox.has(2).await?;
    inbox.has_one_from("orders", "order.created").await?;
    inbox.holds(["first", "second"]).await?;
    assert_eq!(inbox.next().await?.into_body().into_bytes(), "first");
    let second = inbox.next().await?;
    assert_eq!(
        second.properties().header("colour").as_ref().and_then(|it| it.as_str()),
        Some("red")
    );
    inbox.is_empty().await?;
    kit.nothing_unsettled().await?;
    kit.exchange("orders").got("order.created").await?;
    kit.exchange("").got_times(1, "inbox").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_so_is_said_with_what_is_there_instead() -> Outcome {
    let kit = TestKit::start().await?.patience(LITTLE);
    assert_eq!(
        said(kit.queue("orders").has(3).await),
        "expected queue 'orders' to have 3 messages within 50ms, but there is no queue at all"
    );
    kit.chan().declare(Queue::classic("odrers")).await?;
    assert_eq!(
        said(kit.queue("orders").exists().await),
        "expected queue 'orders' to exist within 50ms, but there is none; there are 'odrers'"
    );
    kit.queue("odrers").put("order 1").await?;
    let has = "but it has 1 ready (\"order 1\"), 0 unsettled and 0 consumers";
    let odrers = kit.queue("odrers");
    for (wrong, what) in [
        (odrers.has(2).await, "to have 2 messages"),
        (odrers.is_empty().await, "to be empty"),
        (odrers.is_gone().await, "to be gone"),
        (odrers.has_consumers(1).await, "to have 1 consumer"),
        (odrers.has_unsettled(1).await, "to have 1 unsettled"),
        (odrers.holds(["order 2"]).await, "to hold 1 message: \"order 2\""),
        (odrers.has_dead_letters(1, "x").await, "to have 1 dead letter from queue 'x'"),
        (odrers.has_one_from("x", "y").await, "to have a message from 'x' with key 'y'"),
    ] {
        assert_eq!(said(wrong), format!("expected queue 'odrers' {what} within 50ms, {has}"));
    }
    let wrong = odrers.keeps(0, Duration::from_secs(60)).await;
    assert_eq!(said(wrong), format!("expected queue 'odrers' to keep 0 messages for 60s, {has}"));

    assert_eq!(
        said(kit.exchange("orders").got("order.created").await),
        "expected exchange 'orders' to have got a message with key 'order.created' within 50ms, but it got nothing"
    );
    assert_eq!(
        said(kit.exchange("").got_times(2, "odrers").await),
        "expected exchange '' to have got 2 messages with key 'odrers' within 50ms, but it got 1 with key 'odrers'"
    );

    let delivery = {
        let chan = kit.conn().open_channel().await?;
        let queue = chan.declare(Queue::classic("odrers")).await?;
        chan.get(&queue).await?.expect("a message")
    };
    assert_eq!(
        said(kit.nothing_unsettled().await),
        "expected every delivery to be settled within 50ms, but 'odrers' has 1 unsettled"
    );
    delivery.ack()?;
    kit.nothing_unsettled().await?;
    assert_eq!(
        said(kit.has_connections(2).await),
        "expected 2 connections within 50ms, but there are 0"
    );
    Ok(())
}

#[tokio::test]
async fn what_nobody_takes_is_an_error() -> Outcome {
    let kit = TestKit::start().await?.patience(LITTLE);
    let error = kit.publish("", "nowhere", Message::text("x")).await.expect_err("no queue");
    assert!(matches!(error, KitError::Client { what: "publish", .. }), "{error}");
    assert!(kit.queue("nowhere").put("x").await.is_err());
    assert!(kit.queue("nowhere").next().await.is_err());
    Ok(())
}

/// The deadline is one of the system's clock: paused time does not end it.
#[tokio::test(start_paused = true)]
async fn in_paused_time_assertions_wait_properly() -> Outcome {
    let kit = TestKit::start_with(|broker| broker.vhost("shop")).await?;
    let config = kit.config().vhost("shop");
    tokio::spawn(serve(config));
    kit.queue("orders").in_vhost("shop").has_consumers(1).await?;
    kit.queue("orders").is_gone().await?;
    Ok(())
}
