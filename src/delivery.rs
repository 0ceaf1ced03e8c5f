//! Deliveries: messages that are settled exactly once, by value.

use std::{fmt, mem, sync::Arc};

use crate::{
    chan::ChanInner,
    error::Error,
    message::Received,
    proto::{Arrival, Settlement},
    wire::{ShortString, TableLimits},
};

/// A message that the broker delivered and that is to be settled: [`ack`](Delivery::ack),
/// [`requeue`](Delivery::requeue) or [`reject`](Delivery::reject), once, by value.
///
/// Settling is a synchronous append to what goes out next; it waits for nothing. Acks of a channel
/// may go out merged. A delivery that is dropped unsettled goes back to the queue, with a warning.
///
/// It owns its way back to its own channel, so it cannot be settled on another.
#[must_use = "an unsettled delivery goes back to the queue: call `ack`, `requeue` or `reject`"]
#[repr(C)] // See `Marks`.
pub struct Delivery {
    received: Received,
    receipt: Receipt,
}

/// The duty to settle one delivery, apart from its message.
///
/// For whoever takes the message apart before it is settled; see [`Delivery::into_parts`].
#[must_use = "an unsettled delivery goes back to the queue: call `ack`, `requeue` or `reject`"]
pub struct Receipt {
    source: Arc<Source>,
    epoch: u32,
    tag: u64,
    open: bool,
}

/// Where deliveries come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) chan: Arc<ChanInner>,
    pub(crate) queue: ShortString,
}

impl Delivery {
    #[inline]
    pub(crate) fn new(source: Arc<Source>, arrival: Arrival, limits: TableLimits) -> Self {
        let receipt = Receipt { source, epoch: arrival.epoch, tag: arrival.tag, open: true };
        Delivery { received: Received::new(arrival, limits), receipt }
    }

    /// The queue that it came from, under the name that it had when its consumer began.
    pub fn queue(&self) -> &ShortString {
        self.receipt.queue()
    }

    /// Says that the message was processed: the broker forgets it.
    ///
    /// # Errors
    /// [`Error::Stale`] or why the channel ended: then nothing was sent, and the broker has
    /// requeued the message.
    #[inline]
    #[rustfmt::skip]
    pub fn ack(self) -> Result<(), Error> { // takes the delivery by value: it is settled once
        self.receipt.ack()
    }

    /// Puts the message back into the queue, for this consumer or another.
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    #[rustfmt::skip]
    pub fn requeue(self) -> Result<(), Error> { // takes the delivery by value: it is settled once
        self.receipt.requeue()
    }

    /// Refuses the message for good: the broker drops it, or dead-letters it where the queue says so.
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    #[rustfmt::skip]
    pub fn reject(self) -> Result<(), Error> { // takes the delivery by value: it is settled once
        self.receipt.reject()
    }

    /// The message and, apart from it, the duty to settle it.
    #[inline]
    #[rustfmt::skip]
    pub fn into_parts(self) -> (Received, Receipt) { // takes the delivery by value: settle the `Receipt`
        (self.received, self.receipt)
    }
}

impl std::ops::Deref for Delivery {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.received
    }
}

impl Receipt {
    /// See [`Delivery::ack`].
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    #[rustfmt::skip]
    pub fn ack(self) -> Result<(), Error> { // takes the receipt by value: it is settled once
        self.settle(Settlement::Ack)
    }

    /// See [`Delivery::requeue`].
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    #[rustfmt::skip]
    pub fn requeue(self) -> Result<(), Error> { // takes the receipt by value: it is settled once
        self.settle(Settlement::Requeue)
    }

    /// See [`Delivery::reject`].
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    #[rustfmt::skip]
    pub fn reject(self) -> Result<(), Error> { // takes the receipt by value: it is settled once
        self.settle(Settlement::Reject)
    }

    /// See [`Delivery::queue`].
    pub fn queue(&self) -> &ShortString {
        &self.source.queue
    }

    pub(crate) fn chan(&self) -> &Arc<ChanInner> {
        &self.source.chan
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The number that the broker gave the delivery on its channel, for logs and traces; after a lost
    /// connection the broker counts from 1 again.
    pub fn delivery_tag(&self) -> u64 {
        self.tag
    }

    /// Settles receipts of one channel under one lock, all of them, and gives the first error.
    pub(crate) fn settle_all(receipts: &mut [Receipt], how: Settlement) -> Result<(), Error> {
        let Some(chan) = receipts.first().map(|first| first.source.chan.clone()) else {
            return Ok(());
        };
        let settled = chan.handle.with(|state| {
            let mut result = Ok(());
            for receipt in receipts {
                receipt.open = false;
                let (epoch, tag) = (receipt.epoch, receipt.tag);
                result = result.and(state.connection.settle(chan.key, epoch, tag, how));
            }
            result
        });
        settled.map_err(|error| Error::from_settle(error, chan.handle.last_error()))
    }

    #[inline]
    fn settle(mut self, how: Settlement) -> Result<(), Error> {
        self.send(how)
    }

    #[inline]
    fn send(&mut self, how: Settlement) -> Result<(), Error> {
        if !mem::replace(&mut self.open, false) {
            return Ok(());
        }
        let chan = &self.source.chan;
        let settled = chan.handle.settle(chan.key, self.epoch, self.tag, how);
        settled.map_err(|error| Error::from_settle(error, chan.handle.last_error()))
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.open {
            tracing::warn!(
                queue = %self.source.queue,
                delivery_tag = self.tag,
                "a delivery was dropped unsettled; it goes back to the queue"
            );
            // On a dead channel the broker has put it back already.
            let _ = self.send(Settlement::Requeue);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.receipt.source.queue.as_str())
            .field("delivery_tag", &self.receipt.tag)
            .field("message", &self.received)
            .finish()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("queue", &self.source.queue.as_str())
            .field("delivery_tag", &self.tag)
            .finish_non_exhaustive()
    }
}
