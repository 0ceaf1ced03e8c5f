//! Settling many deliveries at once.

use std::{mem, sync::Arc};

use crate::{
    delivery::{Delivery, Receipt},
    error::Error,
    proto::Settlement,
};

/// Deliveries that are settled together, once, by value.
///
/// It may hold deliveries of several consumers, channels and connections, in any order. They are
/// settled in the order of their tags, so acks merge into one `multiple` as far as every lower tag
/// of the channel is settled or in the batch; where one is not, each goes out alone: nobody else's
/// delivery is ever settled.
///
/// A batch that is dropped unsettled puts its deliveries back into their queues, with a warning.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Batch, Conn, Exchange, Queue, Uri};
///
/// # let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?;
/// let inbox = chan.declare(Queue::classic("inbox")).await?;
/// # for body in [*b"1", *b"2"] {
/// #     chan.publish_unconfirmed(&Exchange::default_exchange(), &inbox, body).await?;
/// # }
/// let mut deliveries = chan.consume(&inbox).await?;
/// let mut batch = Batch::new();
/// while batch.len() < 2 {
///     batch.push(deliveries.next().await.expect("a delivery")?);
/// }
/// batch.ack()?; // one basic.ack
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use = "unsettled deliveries go back to the queue: call `ack`, `requeue` or `reject`"]
pub struct Batch {
    receipts: Vec<Receipt>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Adds a [`Delivery`], or the [`Receipt`] of one that was taken apart.
    pub fn push(&mut self, delivery: impl Into<Receipt>) {
        self.receipts.push(delivery.into());
    }

    /// How many deliveries are in it.
    pub fn len(&self) -> usize {
        self.receipts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// Takes the deliveries out and leaves the batch empty, to be filled anew.
    pub fn take(&mut self) -> Batch {
        mem::take(self)
    }

    /// Says that all were processed.
    ///
    /// # Errors
    /// The first reason why one could not be settled: [`Error::Stale`], or why its channel ended.
    /// The broker has requeued those; all others are settled.
    #[rustfmt::skip]
    pub fn ack(self) -> Result<(), Error> { // takes the batch by value: it is settled once
        self.settle(Settlement::Ack)
    }

    /// Puts all back into their queues.
    ///
    /// # Errors
    /// As [`Batch::ack`].
    #[rustfmt::skip]
    pub fn requeue(self) -> Result<(), Error> { // takes the batch by value: it is settled once
        self.settle(Settlement::Requeue)
    }

    /// Refuses all for good: dropped, or dead-lettered where the queue says so.
    ///
    /// # Errors
    /// As [`Batch::ack`].
    #[rustfmt::skip]
    pub fn reject(self) -> Result<(), Error> { // takes the batch by value: it is settled once
        self.settle(Settlement::Reject)
    }

    fn settle(mut self, how: Settlement) -> Result<(), Error> {
        // In the order of tags, channel by channel: that is what lets acks merge.
        self.receipts.sort_unstable_by_key(|receipt| {
            (Arc::as_ptr(receipt.chan()).addr(), receipt.epoch(), receipt.delivery_tag())
        });
        let same_chan = |one: &Receipt, other: &Receipt| Arc::ptr_eq(one.chan(), other.chan());
        let mut result = Ok(());
        for group in self.receipts.chunk_by_mut(same_chan) {
            result = result.and(Receipt::settle_all(group, how));
        }
        result
    }
}

impl From<Delivery> for Receipt {
    /// The duty to settle; the message is dropped.
    fn from(delivery: Delivery) -> Self {
        delivery.into_parts().1
    }
}

impl<D: Into<Receipt>> FromIterator<D> for Batch {
    fn from_iter<I: IntoIterator<Item = D>>(deliveries: I) -> Self {
        Batch { receipts: deliveries.into_iter().map(D::into).collect() }
    }
}

impl<D: Into<Receipt>> Extend<D> for Batch {
    fn extend<I: IntoIterator<Item = D>>(&mut self, deliveries: I) {
        self.receipts.extend(deliveries.into_iter().map(D::into));
    }
}
