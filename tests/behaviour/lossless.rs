//! The whole way at full speed: none lost, none twice, in order, and nothing left behind.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hopmq::{Chan, Confirming, Consumer, Queue, queue::Classic};
use tokio::sync::watch;

use crate::place::{Outcome, Place, default_exchange};

on_both_brokers!(four_consumers_on_two_connections, one_consumer_in_exact_order);

/// As many as shows it: the embedded broker has no disk and no second process to lose anything in.
fn messages(at: &Place) -> usize {
    if at.is_embedded() { 20_000 } else { 100_000 }
}

async fn four_consumers_on_two_connections(at: Place) -> Outcome {
    let all = messages(&at);
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("orders"))).await?;
    let settled = Arc::new(AtomicUsize::new(0));
    let (done, _) = watch::channel(false);
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let conn = at.conn().await?;
        for _ in 0..2 {
            let consumer = conn.open_channel().await?.consume(&queue).prefetch(100).await?;
            let (settled, done) = (settled.clone(), done.clone());
            tasks.push(tokio::spawn(consume(consumer, settled, done, all)));
        }
    }
    publish(&publisher, &queue, all).await?;

    let mut seen = vec![false; all];
    for task in tasks {
        let numbers = task.await??;
        assert!(!numbers.is_empty(), "each consumer has its share");
        assert!(numbers.is_sorted(), "a consumer's deliveries come in publishing order");
        for number in numbers {
            assert!(!std::mem::replace(&mut seen[number], true), "{number} came twice");
        }
    }
    assert!(seen.iter().all(|seen| *seen), "none is lost");
    assert_eq!(publisher.counts(&queue).await?.messages, 0);
    assert_eq!(publisher.delete_queue(&queue).await?, 0, "nothing was left unsettled either");
    Ok(())
}

async fn one_consumer_in_exact_order(at: Place) -> Outcome {
    let all = messages(&at);
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("orders"))).await?;
    let consumer = at.chan().await?.consume(&queue).prefetch(200).await?;
    let (done, _) = watch::channel(false);
    let consuming = tokio::spawn(consume(consumer, Arc::default(), done, all));
    publish(&publisher, &queue, all).await?;
    let numbers = consuming.await??;
    assert!(numbers.into_iter().eq(0..all), "in exact order");
    assert_eq!(publisher.delete_queue(&queue).await?, 0, "nothing is left");
    Ok(())
}

async fn publish(publisher: &Chan<Confirming>, queue: &Queue<Classic>, all: usize) -> Outcome {
    let default = default_exchange();
    let mut confirms = std::collections::VecDeque::new();
    for number in 0..all {
        // Half of the window, so that publishing and confirming overlap.
        if confirms.len() == 500
            && let Some(oldest) = confirms.pop_front()
        {
            let confirm: hopmq::Confirm = oldest;
            confirm.await?;
        }
        let message = number.to_be_bytes();
        confirms.push_back(publisher.publish(&default, queue, message).mandatory().await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}

/// Takes and settles until all consumers together have settled all; gives the numbers that came here.
async fn consume(
    mut consumer: Consumer,
    settled: Arc<AtomicUsize>,
    done: watch::Sender<bool>,
    all: usize,
) -> Outcome<Vec<usize>> {
    let mut numbers = Vec::new();
    let mut ended = done.subscribe();
    loop {
        let delivery = tokio::select! {
            next = consumer.next() => next.ok_or("the consumer ended")??,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        assert!(!delivery.is_redelivered());
        let body = delivery.body().into_bytes();
        numbers.push(usize::from_be_bytes(body.as_ref().try_into()?));
        delivery.ack()?;
        if settled.fetch_add(1, Ordering::Relaxed) + 1 == all {
            done.send_replace(true);
        }
    }
    consumer.cancel().await?;
    assert!(consumer.next().await.is_none(), "nothing comes after the last");
    Ok(numbers)
}
