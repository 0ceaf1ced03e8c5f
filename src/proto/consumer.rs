//! One consumer on a channel: the deliveries that wait for it, and how it ends.

use std::{collections::VecDeque, mem, sync::Arc, task::Poll};

use super::{Cause, ConsumeSpec, Content, Limits, WaiterId, Wakes};

/// A message that the broker delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// The delivery tag, unique on its channel within its epoch.
    pub tag: u64,
    /// The connection's epoch in which it arrived: after a reconnect its tag means nothing.
    pub epoch: u32,
    /// It was delivered before, to this consumer or another.
    pub redelivered: bool,
    /// No acknowledgement is owed.
    pub automatic: bool,
    /// Method, properties and body.
    pub content: Content,
}

/// Why a consumer ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsumerEnd {
    /// This client cancelled it.
    Cancelled,
    /// The broker cancelled it: the queue was deleted, or its node went away
    /// (<https://www.rabbitmq.com/docs/consumer-cancel>).
    CancelledByBroker,
    /// It did not keep up for longer than allowed and was cancelled, so that it could not starve
    /// the other channels of its connection.
    Overrun,
    /// Its channel or connection ended.
    Ended(Arc<Cause>),
}

/// Where a consumer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerPhase {
    /// Deliveries arrive.
    Active,
    /// basic.cancel is on its way; what still arrives is returned to the queue.
    Cancelling,
    /// Nothing arrives any more.
    Ended,
}

/// The deliveries of one consumer that its owner has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// Its number on the channel, of which its tag is made.
    pub number: u32,
    /// How it was asked for; recovery asks the same again.
    pub spec: ConsumeSpec,
    /// How many times its connection was lost.
    pub interruptions: u32,
    /// Where it is in its life.
    pub phase: ConsumerPhase,
    /// Why it ended.
    pub end: Option<ConsumerEnd>,
    /// Its owner is gone: what arrives goes back to the queue.
    pub orphaned: bool,
    /// Reading has stopped for it; see [`Consumer::caught_up`].
    behind: bool,
    buffer: VecDeque<Arrival>,
    bytes: usize,
    waiter: Option<WaiterId>,
}

impl Consumer {
    /// A consumer that has just been asked for.
    pub fn new(number: u32, spec: ConsumeSpec) -> Self {
        Consumer {
            number,
            spec,
            interruptions: 0,
            phase: ConsumerPhase::Active,
            end: None,
            orphaned: false,
            behind: false,
            buffer: VecDeque::new(),
            bytes: 0,
            waiter: None,
        }
    }

    /// The memory that waiting deliveries hold on to.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has fallen behind now: more waits for its owner than may, and taking it or
    /// cancelling the consumer can help. It then counts as behind until [`Consumer::caught_up`].
    pub fn falls_behind(&mut self, limits: &Limits) -> bool {
        let much =
            self.bytes > limits.consumer_bytes || self.buffer.len() > limits.consumer_messages;
        let falls = much && !self.behind && !self.orphaned && self.end.is_none();
        self.behind |= falls;
        falls
    }

    /// It no longer counts as behind. Gives whether it did.
    pub fn caught_up(&mut self) -> bool {
        mem::take(&mut self.behind)
    }

    /// Adds a delivery and wakes the owner if it waits.
    pub fn push(&mut self, arrival: Arrival, wakes: &mut Wakes) {
        // A flat charge for each, so that empty bodies are bounded too.
        self.bytes += arrival.content.weight() + mem::size_of::<Arrival>();
        self.buffer.push_back(arrival);
        wakes.extend(self.waiter.take());
    }

    /// Swaps all waiting deliveries out: `Ready(None)`. When there are none, tells how it ended.
    pub fn poll(
        &mut self,
        into: &mut VecDeque<Arrival>,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ConsumerEnd>> {
        if !self.buffer.is_empty() {
            self.bytes = 0;
            mem::swap(&mut self.buffer, into);
            return Poll::Ready(None);
        }
        match &self.end {
            Some(end) => Poll::Ready(Some(end.clone())),
            None => {
                self.waiter = Some(waiter());
                Poll::Pending
            }
        }
    }

    /// Ends the consumer. What it still holds can be taken.
    pub fn finish(&mut self, end: ConsumerEnd, wakes: &mut Wakes) {
        self.phase = ConsumerPhase::Ended;
        self.end.get_or_insert(end);
        wakes.extend(self.waiter.take());
    }

    /// The connection is lost: what waits and is to be settled is stale, for the broker has put it
    /// back. What is settled already is kept.
    pub fn interrupt(&mut self) {
        self.interruptions += 1;
        if !self.spec.automatic {
            self.take_rest();
        }
    }

    /// Puts back what its owner had taken but not handed out.
    pub fn take_back(&mut self, mut rest: VecDeque<Arrival>) {
        rest.append(&mut self.buffer);
        self.buffer = rest;
    }

    /// Takes what its owner will not: to be returned to the queue.
    pub fn take_rest(&mut self) -> VecDeque<Arrival> {
        self.bytes = 0;
        mem::take(&mut self.buffer)
    }
}
