//! One consumer on a channel: the deliveries that wait for it, and how it ends.

use std::{collections::VecDeque, mem, sync::Arc, task::Poll};

use super::{
    Cause, ConsumeSpec, Content, Interruption, Interruptions, Limits, Missed, Offsets, WaiterId,
    Wakes, WhenCancelled, core::Core,
};
use crate::fsm::Time;

/// A message that the broker delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(C)] // Its content first, as in all that it becomes: see `Marks`.
pub struct Arrival {
    /// Method, properties and body.
    pub content: Content,
    /// The delivery tag, unique on its channel within its epoch.
    pub tag: u64,
    /// The connection's epoch in which it arrived: after a reconnect its tag means nothing.
    pub epoch: u32,
    /// What else is to be known of it.
    pub marks: Marks,
}

impl Arrival {
    /// Whether it was delivered before, to this consumer or another.
    #[inline]
    pub fn redelivered(&self) -> bool {
        self.marks.redelivered()
    }

    /// Whether no acknowledgement is owed.
    #[inline]
    pub fn automatic(&self) -> bool {
        matches!(self.marks, Marks::Automatic | Marks::AutomaticRedelivered)
    }
}

/// What a delivery is marked with.
///
/// In four octets, where two bits would do: a message is moved from hand to hand in pieces as large as its
/// fields, and behind a `bool` they are cut so oddly that the processor cannot read them before they have
/// left its store buffer. That cost more than all the rest of handing over a small message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Marks {
    /// It is to be settled, and came for the first time.
    Plain,
    /// It was delivered before.
    Redelivered,
    /// No acknowledgement is owed.
    Automatic,
    /// Both.
    AutomaticRedelivered,
}

impl Marks {
    /// The marks of a delivery.
    #[inline]
    pub fn new(redelivered: bool, automatic: bool) -> Self {
        match (automatic, redelivered) {
            (false, false) => Marks::Plain,
            (false, true) => Marks::Redelivered,
            (true, false) => Marks::Automatic,
            (true, true) => Marks::AutomaticRedelivered,
        }
    }

    /// Whether it was delivered before.
    #[inline]
    pub fn redelivered(self) -> bool {
        matches!(self, Marks::Redelivered | Marks::AutomaticRedelivered)
    }
}

/// So many deliveries may arrive for a consumer with a prefetch that was cancelled, until the broker
/// answers: twice the largest prefetch.
const UNWANTED_MAX: usize = 2 * 65_536;

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
    /// Its queue is not there; it waits until it is.
    Away,
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
    /// What has interrupted it so far.
    pub interruptions: Interruptions,
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
    /// So many of the oldest are copies of what was read.
    detached: usize,
    /// So many of the oldest waited when that was last seen to.
    old: usize,
    /// Tags of what nobody will take: back to the queue once nothing more can arrive.
    unwanted: Vec<u64>,
    waiter: Option<WaiterId>,
    /// Since when it is interrupted, and what would have been its end.
    interrupted: Option<Box<(Time, ConsumerEnd)>>,
    /// Who waits for the next interruption.
    watchers: Vec<WaiterId>,
    /// How far it has read, where its queue is a stream.
    offsets: Option<Box<Offsets>>,
}

impl Consumer {
    /// A consumer that has just been asked for.
    pub fn new(number: u32, spec: ConsumeSpec) -> Self {
        Consumer {
            number,
            interruptions: Interruptions::default(),
            phase: ConsumerPhase::Active,
            end: None,
            orphaned: false,
            behind: false,
            buffer: VecDeque::new(),
            bytes: 0,
            detached: 0,
            old: 0,
            unwanted: Vec::new(),
            waiter: None,
            interrupted: None,
            watchers: Vec::new(),
            offsets: spec.upkeep.is_stream.then(Box::default),
            spec,
        }
    }

    /// The memory that waiting deliveries hold on to.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nobody will take what arrives now: its owner is gone, or was told that it was overrun.
    pub fn is_unwanted(&self) -> bool {
        self.orphaned || matches!(self.end, Some(ConsumerEnd::Overrun))
    }

    /// A delivery that nobody will take: of it only the tag is kept, if it is owed a settlement.
    /// False when there are more of them than any prefetch allows.
    pub fn discard(&mut self, tag: u64, automatic: bool) -> bool {
        if !automatic {
            self.unwanted.push(tag);
        }
        let unlimited = matches!(self.spec.prefetch, None | Some(0));
        unlimited || self.unwanted.len() <= UNWANTED_MAX
    }

    /// Its owner is gone, and `rest` was taken and not handed out: of all of it only the tags are
    /// kept.
    pub fn abandon(&mut self, rest: VecDeque<Arrival>, epoch: u32) {
        self.orphaned = true;
        self.put_back(rest, epoch);
    }

    /// What waits for its owner, and `rest` before it, is to go back to the queue.
    pub fn put_back(&mut self, rest: VecDeque<Arrival>, epoch: u32) {
        let waiting = rest.into_iter().chain(self.take_waiting());
        // Of an earlier epoch: it is in the queue already, and its tag means another one now.
        let owed = waiting.filter(|arrival| !arrival.automatic() && arrival.epoch == epoch);
        self.unwanted.extend(owed.map(|arrival| arrival.tag));
    }

    /// The tags of what goes back to the queue, now that nothing more can arrive.
    pub fn take_unwanted(&mut self) -> Vec<u64> {
        mem::take(&mut self.unwanted)
    }

    /// How many deliveries wait for its owner, or to be put back.
    pub fn waiting(&self) -> usize {
        self.buffer.len() + self.unwanted.len()
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

    /// Adds a delivery. Gives what it counts for in bounds; see `has_more`.
    #[inline]
    pub fn push(&mut self, arrival: Arrival) -> usize {
        // A flat charge for each, so that empty bodies are bounded too.
        let charge = arrival.content.weight() + mem::size_of::<Arrival>();
        self.buffer.push_back(arrival);
        charge
    }

    /// So many deliveries were added: they count, and the owner is woken if it waits.
    pub(super) fn has_more(&mut self, messages: usize, bytes: usize, core: &mut Core) {
        self.bytes += bytes;
        core.inbound.arrived(messages, bytes);
        core.wakes.extend(self.waiter.take());
        if self.falls_behind(&core.limits) {
            core.consumer_fell_behind();
        }
    }

    /// Swaps all waiting deliveries out: `Ready(None)`. When there are none, tells how it ended.
    pub fn poll(
        &mut self,
        into: &mut VecDeque<Arrival>,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ConsumerEnd>> {
        if !self.buffer.is_empty() {
            (self.bytes, self.detached, self.old) = (0, 0, 0);
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
        wakes.append(&mut self.watchers);
    }

    /// The connection is lost: what waits and is to be settled is stale, for the broker has put it
    /// back. What is settled already is kept.
    pub fn interrupt(&mut self, now: Time, cause: &Arc<Cause>) {
        self.was_interrupted(now, ConsumerEnd::Ended(cause.clone()));
        if let Some(offsets) = &mut self.offsets {
            offsets.interrupt();
        }
        self.unwanted = Vec::new();
        if !self.spec.automatic {
            self.forget_waiting();
        }
    }

    /// Its queue is gone: it waits until that is back, or ends where it was not told to wait.
    pub fn lose_queue(&mut self, now: Time, why: ConsumerEnd, wakes: &mut Wakes) {
        let waits = self.spec.upkeep.when_cancelled != WhenCancelled::End
            && matches!(self.phase, ConsumerPhase::Active | ConsumerPhase::Away)
            && self.end.is_none()
            && !self.orphaned;
        if !waits {
            return self.finish(why, wakes);
        }
        self.phase = ConsumerPhase::Away;
        self.was_interrupted(now, why);
    }

    /// Why it waits for its queue, if it does.
    pub fn why_away(&self) -> Option<ConsumerEnd> {
        let interrupted =
            self.interrupted.as_ref().filter(|_| self.phase == ConsumerPhase::Away)?;
        Some(interrupted.1.clone())
    }

    /// What is being made up for began with the first of several blows.
    fn was_interrupted(&mut self, now: Time, by: ConsumerEnd) {
        self.interrupted.get_or_insert_with(|| Box::new((now, by)));
    }

    /// The broker serves it, for the first time or again.
    pub fn is_served(&mut self, now: Time, wakes: &mut Wakes) {
        let Some(interrupted) = self.interrupted.take() else { return };
        let (since, by) = *interrupted;
        let missed = self.missed(&by);
        let lasted = now.saturating_since(since);
        self.interruptions.push(Interruption { by, lasted, missed });
        wakes.append(&mut self.watchers);
    }

    fn missed(&self, by: &ConsumerEnd) -> Missed {
        match &self.offsets {
            _ if self.spec.upkeep.queue_is_transient => Missed::Queue,
            _ if matches!(by, ConsumerEnd::CancelledByBroker) => Missed::Queue,
            Some(offsets) => offsets.missed(&self.spec.arguments),
            None if self.spec.automatic => Missed::InFlight,
            None => Missed::Nothing,
        }
    }

    /// How it is asked for again.
    pub fn resumed(&self) -> ConsumeSpec {
        let mut spec = self.spec.clone();
        if let Some(offsets) = &self.offsets {
            spec.arguments = offsets.resume(&spec.arguments);
        }
        spec
    }

    /// A delivery has come for it: where its queue is a stream, its offset is kept.
    #[cold]
    pub fn reads(&mut self, tag: u64, content: &Content) {
        if let Some(offsets) = &mut self.offsets {
            offsets.delivered(tag, content);
        }
    }

    /// A delivery of its channel was settled.
    pub fn settled(&mut self, tag: u64) {
        if let Some(offsets) = &mut self.offsets {
            offsets.settled(tag);
        }
    }

    /// The interruption with this number, or the next; nothing when it has ended without one.
    pub fn poll_interruption(
        &mut self,
        cursor: &mut u64,
        waiter: impl FnOnce() -> Option<WaiterId>,
    ) -> Poll<Option<Interruption>> {
        if let Some(next) = self.interruptions.next(cursor) {
            return Poll::Ready(Some(next.clone()));
        }
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        self.watchers.extend(waiter());
        Poll::Pending
    }

    /// Whoever waited for an interruption is gone.
    pub fn forget_waiter(&mut self, waiter: WaiterId) {
        self.watchers.retain(|waiting| *waiting != waiter);
    }

    /// Forgets what waits: the connection is lost, and the broker has put it back.
    pub fn forget_waiting(&mut self) {
        self.take_waiting();
    }

    fn take_waiting(&mut self) -> VecDeque<Arrival> {
        (self.bytes, self.detached, self.old) = (0, 0, 0);
        mem::take(&mut self.buffer)
    }

    /// Whether it takes deliveries, and can be told to stop.
    pub fn is_active(&self) -> bool {
        self.phase == ConsumerPhase::Active && self.end.is_none() && !self.orphaned
    }

    /// How many deliveries wait for its owner.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Copies small messages that have waited since the last time out of the blocks in which they were
    /// read: a block of 64 KiB lives as long as the last message in it. Who keeps up is not copied.
    pub fn detach_old(&mut self) {
        let old = self.buffer.iter_mut().take(self.old).skip(self.detached);
        old.for_each(|arrival| arrival.content.detach_small());
        (self.detached, self.old) = (self.old, self.buffer.len());
    }
}
