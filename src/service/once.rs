//! Knowing a message again that comes twice.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    sync::{Mutex, PoisonError},
};

use super::{
    codec::BoxError,
    failure::{Failure, Handler, Outcome},
    id::MessageId,
    message::Message,
};

/// Which messages were processed: [`RecentIds`], or a table in one's own database.
pub trait Processed: Send + Sync + 'static {
    /// Whether the message with that id was processed before.
    fn contains(&self, id: &MessageId) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// The message with that id was processed.
    fn insert(&self, id: MessageId) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A handler that does not process a message twice, as far as [`Processed`] knows its id: what was
/// processed before is acked.
///
/// Publishers send a message again when they do not know whether it arrived, and the broker delivers
/// it again when an ack was lost; each time with the same id. When processing ends in the same
/// database as the ids, let the handler record the id in its own transaction instead: then there is
/// no moment between the two.
///
/// ```
/// use hopmq::service::{Failure, Message, Once, RecentIds};
///
/// async fn charge(order: Message<u64>) -> Result<(), Failure> {
///     println!("{} cents", order.payload);
///     Ok(())
/// }
/// let handler = Once::new(charge, RecentIds::new(10_000));
/// # drop(handler);
/// ```
#[derive(Debug)]
pub struct Once<H, P> {
    handler: H,
    processed: P,
}

impl<H, P: Processed> Once<H, P> {
    /// That handler, for messages that are not known.
    pub fn new(handler: H, processed: P) -> Self {
        Once { handler, processed }
    }
}

impl<T, H, P> Handler<T> for Once<H, P>
where
    T: Send + 'static,
    H: Handler<T>,
    P: Processed,
{
    async fn handle(&self, message: Message<T>) -> Outcome {
        let id = message.id.clone();
        if self.processed.contains(&id).await.map_err(Failure::retry)? {
            tracing::debug!(%id, "processed before");
            return Ok(());
        }
        self.handler.handle(message).await?;
        self.processed.insert(id).await.map_err(Failure::retry)
    }
}

/// The ids of the last messages, in memory: for duplicates that come soon, to the same process.
#[derive(Debug)]
pub struct RecentIds {
    most: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    ids: HashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl RecentIds {
    /// Knows so many ids; the oldest are forgotten.
    pub fn new(most: usize) -> Self {
        RecentIds { most, known: Mutex::default() }
    }
}

impl Processed for RecentIds {
    async fn contains(&self, id: &MessageId) -> Result<bool, BoxError> {
        // Nothing panics while it holds the lock.
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.ids.contains(id))
    }

    async fn insert(&self, id: MessageId) -> Result<(), BoxError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.ids.insert(id.clone()) {
            known.order.push_back(id);
        }
        while known.order.len() > self.most {
            if let Some(oldest) = known.order.pop_front() {
                known.ids.remove(&oldest);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_ids_are_forgotten() {
        let ids = RecentIds::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|id| MessageId::new(id).unwrap());
        for id in [&a, &b, &a, &c] {
            ids.insert(id.clone()).await.unwrap();
        }
        assert!(!ids.contains(&a).await.unwrap());
        assert!(ids.contains(&b).await.unwrap() && ids.contains(&c).await.unwrap());
    }
}
