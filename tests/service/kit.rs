//! What the tests of services have in common.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use hopmq::{
    Chan, Confirming, Consumer, Delivery, Queue,
    queue::QueueKind,
    service::{Job, Message, OnFailure, Text},
};
use tokio::sync::Notify;

use crate::place::{Outcome, default_exchange, take};

/// Publishes texts as typed messages, each confirmed.
pub(crate) async fn send<K: QueueKind>(
    chan: &Chan<Confirming>,
    queue: &Queue<K>,
    texts: &[&str],
) -> Outcome {
    for text in texts {
        let message = Message::new((*text).to_owned()).encode(&Text)?;
        chan.publish(&default_exchange(), queue, message).mandatory().await?.await?;
    }
    Ok(())
}

/// The next delivery as a job, with its message.
pub(crate) async fn next_job(consumer: &mut Consumer) -> Outcome<Job<Message<String>>> {
    let job = Job::new(take(consumer).await?, OnFailure::Reject);
    let message = Message::decode(job.received(), &Text)?;
    Ok(job.with(message))
}

/// Waits until a message is in the queue, and takes it.
pub(crate) async fn taken<K: hopmq::queue::CanGet>(
    chan: &Chan<Confirming>,
    queue: &Queue<K>,
) -> Outcome<Delivery> {
    loop {
        if let Some(delivery) = chan.get(queue).await? {
            return Ok(delivery);
        }
        tokio::task::yield_now().await;
    }
}

/// What handlers have seen, to be waited for.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    inner: Arc<(Mutex<VecDeque<String>>, Notify)>,
}

impl Seen {
    pub(crate) fn push(&self, text: impl Into<String>) {
        self.inner.0.lock().expect("unpoisoned").push_back(text.into());
        self.inner.1.notify_one();
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.inner.0.lock().expect("unpoisoned").iter().cloned().collect()
    }

    /// Waits until so many were seen.
    pub(crate) async fn wait(&self, count: usize) -> Vec<String> {
        loop {
            let all = self.all();
            if all.len() >= count {
                return all;
            }
            self.inner.1.notified().await;
        }
    }
}
