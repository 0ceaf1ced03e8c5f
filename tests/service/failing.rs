//! What failed is tried again after a delay, and parked with its history in the end.

use std::time::Duration;

use hopmq::{
    Chan, Classic, Confirming, Exchange, Message as RawMessage, Queue, Quorum,
    service::{Failure, Message, Retries, Retry, Text, Undecodable, Worker, history},
    wire::{FieldTable, Value},
};

use crate::{
    kit::{Seen, send, taken},
    place::{Outcome, Place, default_exchange, text},
};

on_both_brokers!(
    what_fails_is_tried_again_and_then_parked,
    a_permanent_failure_is_parked_at_once,
    a_parked_message_says_what_it_went_through,
    what_cannot_be_decoded_is_parked,
    what_cannot_be_decoded_is_dropped_where_that_is_said,
    what_cannot_be_decoded_is_handed_over_raw,
    without_retries_what_cannot_be_decoded_is_dead_lettered,
    a_queue_that_does_not_last_has_no_retries,
);

/// A queue with retries, everything registered to be deleted.
async fn with_retries(
    at: &Place,
    chan: &Chan<Confirming>,
    retry: Retry,
) -> Outcome<(Queue<Classic>, Retries)> {
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    for delay in retry.delays() {
        at.name(&format!("orders.retry.{}", delay.as_millis()));
    }
    at.name("orders.parked");
    let retries = retry.declare(chan, &queue).await?;
    Ok((queue, retries))
}

async fn what_fails_is_tried_again_and_then_parked(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let retry = Retry::after([10, 20].map(Duration::from_millis));
    let (queue, retries) = with_retries(&at, &chan, retry).await?;
    let parked: Queue<Quorum> = retries.parked().clone();
    send(&chan, &queue, &["bad", "good"]).await?;
    let seen = Seen::default();
    let worker = Worker::new(chan.consume(&queue).await?, Text).on_failure(retries);
    let (handler_seen, stop) = (seen.clone(), seen.clone());
    let run = worker.run_until(
        move |message: Message<String>| {
            let seen = handler_seen.clone();
            async move {
                seen.push(format!("{} {}", message.payload, message.attempt()));
                if message.payload == "bad" { Err(Failure::retry("no stock")) } else { Ok(()) }
            }
        },
        async move {
            stop.wait(4).await;
        },
    );
    let served = run.await?;
    let mut all = seen.all();
    all.sort();
    assert_eq!(all, ["bad 1", "bad 2", "bad 3", "good 1"]);
    assert_eq!((served.completed, served.retried, served.parked), (1, 2, 1));
    let delivery = taken(&chan, &parked).await?;
    assert_eq!(text(&delivery), "bad");
    delivery.ack()?;
    Ok(())
}

async fn a_permanent_failure_is_parked_at_once(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let (queue, retries) = with_retries(&at, &chan, Retry::times(5, Duration::ZERO)).await?;
    let parked = retries.parked().clone();
    send(&chan, &queue, &["bad"]).await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let worker = Worker::new(chan.consume(&queue).await?, Text).on_failure(retries);
    let run = worker.run_until(
        move |_: Message<String>| {
            seen.push("once");
            async { Err::<(), _>(Failure::permanent("a negative amount")) }
        },
        async move {
            stop.wait(1).await;
        },
    );
    assert_eq!(run.await?.parked, 1);
    taken(&chan, &parked).await?.ack()?;
    Ok(())
}

async fn a_parked_message_says_what_it_went_through(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let retry = Retry::times(1, Duration::from_millis(10));
    let (queue, retries) = with_retries(&at, &chan, retry).await?;
    let (parked, other) = (retries.parked().clone(), at.name("other"));
    let other = chan.declare(Queue::classic(&other)).await?;
    let orders = chan.declare(Exchange::direct(at.name("exchange"))).await?;
    chan.bind(&queue, &orders, "order.eu").await?;
    // A copy must not go to others again, nor expire while it is parked.
    let cc = Value::Array(vec![other.name().into()]);
    let message = RawMessage::text("bad").header("CC", cc).expiration(Duration::from_secs(3600));
    chan.bind(&other, &orders, other.name().as_str()).await?;
    chan.publish(&orders, "order.eu", message.header("shop", "eu")).await?.await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let worker = Worker::new(chan.consume(&queue).await?, Text).on_failure(retries);
    let run = worker.run_until(
        move |message: Message<String>| {
            seen.push("once");
            let attempt = message.attempt();
            async move { Err::<(), _>(Failure::retry(format!("no stock, {attempt}"))) }
        },
        async move {
            stop.wait(2).await;
        },
    );
    run.await?;
    let delivery = taken(&chan, &parked).await?;
    let properties = delivery.properties();
    let header = |name: &str| properties.header(name);
    assert_eq!(header("shop"), Some("eu".into()));
    assert_eq!(header(history::ATTEMPTS).and_then(|count| count.as_i64()), Some(2));
    assert_eq!(header(history::QUEUE), Some(queue.name().into()));
    assert_eq!(header(history::EXCHANGE), Some(orders.name().into()));
    assert_eq!(header(history::ROUTING_KEY), Some("order.eu".into()));
    let failures = header(history::FAILURES).ok_or("a history")?;
    let failures = failures.as_array().ok_or("an array")?;
    let errors: Vec<_> = failures.iter().map(|failure| error_of(failure).to_owned()).collect();
    assert_eq!(errors, ["no stock, 1", "no stock, 2"]);
    assert_eq!(properties.expiration(), None);
    assert!(properties.is_persistent() && properties.message_id().is_some());
    delivery.ack()?;
    assert_eq!(chan.counts(&other).await?.messages, 1, "the original alone");
    Ok(())
}

fn error_of(failure: &Value) -> &str {
    let Value::Table(table) = failure else { panic!("{failure:?}") };
    let table: &FieldTable = table;
    table.get("error").and_then(Value::as_str).expect("an error")
}

async fn what_cannot_be_decoded_is_parked(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let (queue, retries) = with_retries(&at, &chan, Retry::times(5, Duration::ZERO)).await?;
    let parked = retries.parked().clone();
    let message = RawMessage::new(b"\xff\xfe");
    chan.publish(&default_exchange(), &queue, message).await?.await?;
    let worker = Worker::new(chan.consume(&queue).await?, Text).on_failure(retries);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = worker.run_until(never_called, async { drop(stopped.await) });
    let run = tokio::spawn(run);
    let delivery = taken(&chan, &parked).await?;
    let failures = delivery.properties().header(history::FAILURES).ok_or("a history")?;
    let error = error_of(&failures.as_array().ok_or("an array")?[0]).to_owned();
    assert!(error.starts_with("the body is no payload in text/plain"), "{error}");
    assert_eq!(delivery.body().into_bytes(), &b"\xff\xfe"[..], "as it came");
    delivery.ack()?;
    drop(stop);
    assert_eq!(run.await??.parked, 1);
    Ok(())
}

async fn never_called(message: Message<String>) -> Result<(), Failure> {
    panic!("it cannot be decoded: {message}");
}

async fn what_cannot_be_decoded_is_dropped_where_that_is_said(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Queue::classic(at.name("dead"))).await?;
    let queue = Queue::classic(at.name("orders"));
    let queue = queue.dead_letter(hopmq::DeadLetter::to_queue(&dead));
    let queue = chan.declare(queue).await?;
    chan.publish(&default_exchange(), &queue, RawMessage::new(b"\xff")).await?.await?;
    send(&chan, &queue, &["good"]).await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let worker = Worker::new(chan.consume(&queue).await?, Text).undecodable(Undecodable::Drop);
    let handler = move |message: Message<String>| {
        seen.push(message.payload);
        async { Ok::<_, Failure>(()) }
    };
    let run = worker.run_until(handler, async move {
        stop.wait(1).await;
    });
    assert_eq!(run.await?.completed, 2);
    chan.close().await?;
    let chan = at.chan().await?;
    assert_eq!(chan.counts(&queue).await?.messages + chan.counts(&dead).await?.messages, 0);
    Ok(())
}

async fn what_cannot_be_decoded_is_handed_over_raw(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    chan.publish(&default_exchange(), &queue, RawMessage::new(b"\xff")).await?.await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let raw = Undecodable::hand_over(move |message| {
        let body = message.raw.body().clone().into_bytes();
        seen.push(format!("{} {:?}", message.routing_key, body));
        async { Ok(()) }
    });
    let worker = Worker::new(chan.consume(&queue).await?, Text).undecodable(raw);
    let shown = stop.clone();
    let served = worker.run_until(never_called, async move {
        stop.wait(1).await;
    });
    assert_eq!(served.await?.completed, 1);
    assert_eq!(shown.all(), [format!("{} b\"\\xff\"", queue.name())]);
    Ok(())
}

async fn without_retries_what_cannot_be_decoded_is_dead_lettered(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Queue::classic(at.name("dead"))).await?;
    let queue = Queue::classic(at.name("orders"));
    let queue = queue.dead_letter(hopmq::DeadLetter::to_queue(&dead));
    let queue = chan.declare(queue).await?;
    chan.publish(&default_exchange(), &queue, RawMessage::new(b"\xff")).await?.await?;
    let worker = Worker::new(chan.consume(&queue).await?, Text);
    let run = tokio::spawn(worker.run(never_called));
    taken(&chan, &dead).await?.ack()?;
    run.abort();
    Ok(())
}

async fn a_queue_that_does_not_last_has_no_retries(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue: Queue<Classic> = chan.declare(Queue::server_named()).await?;
    let error = Retry::times(1, Duration::ZERO).declare(&chan, &queue).await;
    let error = error.expect_err("it cannot be found again").to_string();
    assert!(error.contains("does not last"), "{error}");
    let lasting = chan.declare(Queue::classic(at.name("orders"))).await?;
    let many = Retry::after((0..17).map(Duration::from_secs));
    for second in 0..16 {
        at.name(&format!("orders.retry.{}", second * 1000));
    }
    let error = many.declare(&chan, &lasting).await.expect_err("too many").to_string();
    assert!(error.contains("more than 16"), "{error}");
    Ok(())
}
