//! What is in an outbox is published in order, and done when it is confirmed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hopmq::{
    Chan, Confirming, Exchange, Queue, Topic,
    service::{
        BoxError, Decision, Entry, Json, MemoryOutbox, Message, Outbox, OutboxFull, PublishError,
        Publisher, Raw, Relay, Text,
    },
};

use crate::{
    kit::next_job,
    place::{Outcome, Place, take, until},
};

on_both_brokers!(
    an_outbox_is_published_in_order,
    a_store_that_fails_is_asked_again,
    what_no_queue_takes_waits_and_holds_the_order,
    what_a_store_sets_aside_is_passed_over,
    a_dead_channel_ends_the_relay,
);

async fn exchange(at: &Place) -> Outcome<(Chan<Confirming>, Exchange<Topic>)> {
    let chan = at.publisher().await?;
    let orders = chan.declare(Exchange::topic(at.name("orders"))).await?;
    Ok((chan, orders))
}

fn text(text: &str) -> Message<bytes::Bytes> {
    Message::new(text.to_owned()).to_bytes(&Text).expect("text")
}

async fn empty(outbox: Arc<MemoryOutbox>) {
    while !outbox.is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn an_outbox_is_published_in_order(at: Place) -> Outcome {
    let (chan, orders) = exchange(&at).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "order.#").await?;
    let outbox = Arc::new(MemoryOutbox::new(200));
    for number in 0..200 {
        outbox.push("order.eu", text(&number.to_string()))?;
    }
    assert_eq!(outbox.push("order.eu", text("more")), Err(OutboxFull { most: 200 }));
    let publisher = Publisher::new(chan.publisher(), orders, Raw);
    Relay::new(outbox.clone(), publisher).run_until(empty(outbox.clone())).await?;
    let mut consumer = chan.consume(&queue).await?;
    for number in 0..200 {
        let job = next_job(&mut consumer).await?;
        assert_eq!(job.message().payload, number.to_string(), "as text, not as bytes");
        job.start().complete()?;
    }
    Ok(())
}

/// Fails as often as it is told before it does what it should.
struct Failing {
    inner: MemoryOutbox,
    pending: AtomicU32,
    done: AtomicU32,
}

fn fails(count: &AtomicU32) -> Result<(), BoxError> {
    let left = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() { Err("the disk is full".into()) } else { Ok(()) }
}

impl Outbox for Failing {
    async fn pending(&self, most: usize) -> Result<Vec<Entry>, BoxError> {
        fails(&self.pending)?;
        self.inner.pending(most).await
    }

    async fn done(&self, number: u64) -> Result<(), BoxError> {
        fails(&self.done)?;
        self.inner.done(number).await
    }
}

async fn a_store_that_fails_is_asked_again(at: Place) -> Outcome {
    let (chan, orders) = exchange(&at).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "#").await?;
    let outbox = Failing {
        inner: MemoryOutbox::new(10),
        pending: AtomicU32::new(2),
        done: AtomicU32::new(1),
    };
    outbox.inner.push("a", text("a"))?;
    let outbox = Arc::new(outbox);
    let publisher = Publisher::new(chan.publisher(), orders, Raw);
    let watched = outbox.clone();
    let all_done = async move {
        while !watched.inner.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    Relay::new(outbox, publisher).run_until(all_done).await?;
    let mut consumer = chan.consume(&queue).await?;
    let (first, second) = (take(&mut consumer).await?, take(&mut consumer).await?);
    // That it was done could not be kept: it came twice, and its consumer can tell.
    assert_eq!(first.properties().message_id(), second.properties().message_id());
    first.ack()?;
    second.ack()?;
    Ok(())
}

async fn what_no_queue_takes_waits_and_holds_the_order(at: Place) -> Outcome {
    let (chan, orders) = exchange(&at).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "there").await?;
    let outbox = Arc::new(MemoryOutbox::new(10));
    outbox.push("not.yet", text("first"))?;
    outbox.push("there", text("second"))?;
    let publisher = Publisher::new(chan.publisher(), orders.clone(), Raw);
    let relay = Relay::new(outbox.clone(), publisher).poll_every(Duration::from_millis(5));
    let relay = tokio::spawn(relay.run_until(empty(outbox.clone())));
    for _ in 0..20 {
        assert_eq!(chan.counts(&queue).await?.messages, 0);
    }
    chan.bind(&queue, &orders, "not.yet").await?;
    relay.await??;
    let mut consumer = chan.consume(&queue).await?;
    for expected in ["first", "second"] {
        let job = next_job(&mut consumer).await?;
        assert_eq!(job.message().payload, expected);
        job.start().complete()?;
    }
    Ok(())
}

struct Impatient(MemoryOutbox);

impl Outbox for Impatient {
    async fn pending(&self, most: usize) -> Result<Vec<Entry>, BoxError> {
        self.0.pending(most).await
    }

    async fn done(&self, number: u64) -> Result<(), BoxError> {
        self.0.done(number).await
    }

    async fn refused(&self, entry: &Entry, error: &PublishError) -> Decision {
        assert_eq!((entry.number, error.kind()), (0, "returned"));
        Decision::Skip
    }
}

async fn what_a_store_sets_aside_is_passed_over(at: Place) -> Outcome {
    let (chan, orders) = exchange(&at).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "there").await?;
    let outbox = Impatient(MemoryOutbox::new(10));
    outbox.0.push("nowhere", text("lost"))?;
    outbox.0.push("there", Message::new(7).to_bytes(&Json)?)?;
    let publisher = Publisher::new(chan.publisher(), orders, Raw);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let relay = Relay::new(outbox, publisher);
    let relay = tokio::spawn(relay.run_until(async { drop(stopped.await) }));
    until(async || Ok(chan.counts(&queue).await?.messages == 1)).await?;
    drop(stop);
    relay.await??;
    let delivery = take(&mut chan.consume(&queue).await?).await?;
    assert_eq!(Message::<u32>::decode(&delivery, &Json)?.payload, 7);
    delivery.ack()?;
    Ok(())
}

async fn a_dead_channel_ends_the_relay(at: Place) -> Outcome {
    let (chan, orders) = exchange(&at).await?;
    let outbox = MemoryOutbox::new(10);
    outbox.push("a", text("a"))?;
    let publisher = Publisher::new(chan.publisher(), orders, Raw);
    chan.close().await?;
    let relay = Relay::new(outbox, publisher).run_until(std::future::pending());
    let error = relay.await.expect_err("nothing can be published any more");
    assert_eq!(error.to_string(), "the channel that publishes has ended");
    Ok(())
}
