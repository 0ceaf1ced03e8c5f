//! The publish ledger: what became of each message on a confirming channel.
//!
//! A ring indexed by delivery tag. Tags below the base are settled; of those only what was *not*
//! confirmed is kept, until its publisher has taken it. A multiple ack is one sweep.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;

use super::{Cause, WaiterId, Wakes};
use crate::{
    fsm::Time,
    wire::{ReplyCode, ShortString},
};

/// What became of one publish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The broker took responsibility for the message.
    Confirmed,
    /// The broker could not route it and sent it back; it is in no queue.
    Returned {
        /// The reply code, 312 for "no route".
        code: ReplyCode,
        /// The broker's text.
        text: Arc<str>,
    },
    /// The broker refused responsibility (basic.nack).
    Nacked,
    /// The channel or connection ended before the broker answered: the message may or may not
    /// have arrived.
    Unknown(Arc<Cause>),
    /// The broker did not answer within the confirm deadline: the message may have arrived.
    Overdue,
}

/// Small and plain: there is one for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    size: u32,
    published: Time,
    state: SlotState,
    waiter: Option<WaiterId>,
    /// Nobody will ask for the outcome.
    abandoned: bool,
}

/// A message that is published again after a lost connection, until the broker has answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// The exchange.
    pub exchange: ShortString,
    /// The routing key.
    pub routing_key: ShortString,
    /// The broker sends it back when no queue takes it.
    pub mandatory: bool,
    /// The encoded property list.
    pub properties: Bytes,
    /// Where in `properties` the sequence header's value is, if it has one.
    pub sequence_at: Option<usize>,
    /// The body.
    pub body: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotState {
    Outstanding,
    /// A return has arrived, the ack that follows it has not.
    Returned,
    Settled,
    /// Settled by the deadline; a late answer is not an error.
    Overdue,
}

/// The outstanding publishes of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Tags here count on through every epoch; the broker's begin at 1 in each.
    base: u64,
    /// What to add to the broker's tag, behind those that were published again.
    epoch_base: u64,
    /// The tags of what was published again at the beginning of this epoch, in that order: the
    /// broker counts them from 1.
    replayed: Vec<u64>,
    slots: VecDeque<Slot>,
    /// The messages that are to be published again after a cut.
    kept: BTreeMap<u64, Box<Kept>>,
    exceptional: BTreeMap<u64, Outcome>,
    outstanding: usize,
    bytes: usize,
    /// From this tag on nothing was ever sent.
    unsent_from: Option<u64>,
}

impl Default for Ledger {
    /// The first tag after confirm.select is 1.
    fn default() -> Self {
        Ledger {
            base: 1,
            epoch_base: 0,
            replayed: Vec::new(),
            slots: VecDeque::new(),
            kept: BTreeMap::new(),
            exceptional: BTreeMap::new(),
            outstanding: 0,
            bytes: 0,
            unsent_from: None,
        }
    }
}

impl Ledger {
    /// The tag that the next publish will have.
    #[inline]
    pub fn next_tag(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// The number of publishes that the broker has not answered.
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The bytes of those publishes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest unanswered publish was made.
    pub fn oldest(&self) -> Option<Time> {
        self.slots.front().map(|slot| slot.published)
    }

    /// Notes a publish and gives its tag. What is kept survives a lost connection.
    #[inline]
    pub fn push(&mut self, now: Time, size: usize, kept: Option<Box<Kept>>) -> u64 {
        let tag = self.next_tag();
        self.slots.push_back(Slot {
            size: u32::try_from(size).unwrap_or(u32::MAX),
            published: now,
            state: SlotState::Outstanding,
            waiter: None,
            abandoned: false,
        });
        if let Some(kept) = kept {
            self.kept.insert(tag, kept);
        }
        self.outstanding += 1;
        self.bytes += size.min(u32::MAX as usize);
        tag
    }

    /// Notes a publish that waits for the connection: it is kept, and sent when that is back.
    pub fn push_unsent(&mut self, now: Time, size: usize, kept: Box<Kept>) -> u64 {
        let tag = self.push(now, size, Some(kept));
        self.unsent_from.get_or_insert(tag);
        tag
    }

    /// The publishes that were dated `from` count as made at `to`: the last ones.
    pub fn date_anew(&mut self, from: Time, to: Time) {
        for slot in self.slots.iter_mut().rev().take_while(|slot| slot.published == from) {
            slot.published = to;
        }
    }

    /// Asks for the outcome of a publish. Taking it forgets it.
    pub fn poll(&mut self, tag: u64, waiter: impl FnOnce() -> WaiterId) -> Poll<Outcome> {
        match self.slot(tag) {
            Some(slot) if matches!(slot.state, SlotState::Outstanding | SlotState::Returned) => {
                slot.waiter = Some(waiter());
                Poll::Pending
            }
            _ => Poll::Ready(self.exceptional.remove(&tag).unwrap_or(Outcome::Confirmed)),
        }
    }

    /// Every publish below this tag is confirmed, or somebody was told what became of it instead. It
    /// never goes back, so whoever remembers it need not ask.
    pub fn confirmed_below(&self) -> u64 {
        match self.exceptional.first_key_value() {
            Some((tag, _)) => self.base.min(*tag),
            None => self.base,
        }
    }

    /// Forgets the outcomes of publishes that nobody will ask for, also those that are yet to come.
    pub fn abandon(&mut self, tags: Range<u64>) {
        while let Some((&tag, _)) = self.exceptional.range(tags.clone()).next() {
            self.exceptional.remove(&tag);
        }
        for tag in tags.start.max(self.base)..tags.end {
            let Some(slot) = self.slot(tag) else { break };
            (slot.waiter, slot.abandoned) = (None, true);
        }
    }

    /// A message came back; its ack or nack follows. False when there is no such publish.
    pub fn returned(&mut self, tag: u64, code: ReplyCode, text: Arc<str>) -> bool {
        let Some(slot) = self.slot(tag) else { return false };
        if slot.state == SlotState::Outstanding {
            slot.state = SlotState::Returned;
            if !slot.abandoned {
                self.exceptional.insert(tag, Outcome::Returned { code, text });
            }
        }
        true
    }

    /// basic.ack or basic.nack. False when the tag was never published (or is 0 without
    /// `multiple`).
    pub fn settle(&mut self, tag: u64, multiple: bool, nacked: bool, wakes: &mut Wakes) -> bool {
        if tag == 0 && !multiple {
            return false;
        }
        // Tag 0 with `multiple` means all outstanding messages (1.8.3.13).
        let last = if tag == 0 { self.next_tag() - 1 } else { self.own_tag(tag) };
        if last >= self.next_tag() {
            return false;
        }
        if multiple && !nacked {
            self.confirm_through(last, wakes);
        } else {
            let first = if multiple { self.base } else { last };
            for tag in first.max(self.base)..=last {
                self.settle_one(tag, nacked, wakes);
            }
        }
        self.advance();
        true
    }

    /// Confirms everything up to this tag, as [`settle_one`](Self::settle_one) does: the usual
    /// answer, which leaves nothing behind but what was exceptional before.
    fn confirm_through(&mut self, last: u64, wakes: &mut Wakes) {
        let count = last.saturating_add(1).saturating_sub(self.base) as usize;
        let count = count.min(self.slots.len());
        for slot in self.slots.range(..count) {
            if matches!(slot.state, SlotState::Outstanding | SlotState::Returned) {
                wakes.extend(slot.waiter);
                self.outstanding -= 1;
                self.bytes -= slot.size as usize;
            }
        }
        self.slots.drain(..count);
        self.base += count as u64;
        while let Some(first) = self.kept.first_entry().filter(|first| *first.key() < self.base) {
            first.remove();
        }
    }

    /// Ends every outstanding publish as unknown.
    pub fn end(&mut self, cause: &Arc<Cause>, wakes: &mut Wakes) {
        for tag in self.base..self.next_tag() {
            self.finish(tag, SlotState::Settled, Some(Outcome::Unknown(cause.clone())), wakes);
        }
        self.advance();
    }

    /// The connection is lost: what was not kept ends as unknown, what was waits to be published
    /// again.
    pub fn interrupt(&mut self, cause: &Arc<Cause>, wakes: &mut Wakes) {
        for tag in self.base..self.next_tag() {
            if !self.kept.contains_key(&tag) {
                let unknown = Outcome::Unknown(cause.clone());
                self.finish(tag, SlotState::Settled, Some(unknown), wakes);
            } else if let Some(slot) = self.slot(tag)
                && slot.state == SlotState::Returned
            {
                // Its ack was lost; published again, it may find a queue.
                slot.state = SlotState::Outstanding;
                self.exceptional.remove(&tag);
            }
        }
        self.advance();
    }

    /// A new epoch begins, in which the broker counts from 1: what was kept is published again
    /// first, in its order. Gives the tags and messages, and whether they were sent before.
    pub fn replay(&mut self, now: Time) -> impl Iterator<Item = (u64, &Kept, bool)> {
        let unsent_from = self.unsent_from.take().unwrap_or(u64::MAX);
        self.replayed.clear();
        for (tag, slot) in (self.base..).zip(&mut self.slots) {
            if slot.state == SlotState::Outstanding {
                slot.published = now;
                self.replayed.push(tag);
            }
        }
        self.epoch_base = self.next_tag() - 1 - self.replayed.len() as u64;
        // An interruption has left no other outstanding.
        self.kept.iter().map(move |(tag, kept)| (*tag, &**kept, *tag < unsent_from))
    }

    /// A queue has a new name: what is kept for it, by the default exchange, follows it.
    pub fn rename_queue(&mut self, old: &ShortString, new: &ShortString) {
        for kept in self.kept.values_mut() {
            if kept.exchange.is_empty() && kept.routing_key == *old {
                kept.routing_key = new.clone();
            }
        }
    }

    /// Whether anything is kept.
    pub fn keeps(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Our tag for the broker's.
    fn own_tag(&self, tag: u64) -> u64 {
        let index = usize::try_from(tag).unwrap_or(usize::MAX).wrapping_sub(1);
        match self.replayed.get(index) {
            Some(own) => *own,
            None => tag.saturating_add(self.epoch_base),
        }
    }

    /// Ends those that were due `after` their publish as overdue.
    pub fn expire(&mut self, now: Time, after: Duration, wakes: &mut Wakes) {
        let due = |slot: &&Slot| slot.published + after <= now;
        let overdue = self.slots.iter().take_while(due).count() as u64;
        for tag in self.base..self.base + overdue {
            self.finish(tag, SlotState::Overdue, Some(Outcome::Overdue), wakes);
        }
        self.advance();
    }

    fn settle_one(&mut self, tag: u64, nacked: bool, wakes: &mut Wakes) {
        self.finish(tag, SlotState::Settled, nacked.then_some(Outcome::Nacked), wakes);
    }

    fn finish(&mut self, tag: u64, to: SlotState, outcome: Option<Outcome>, wakes: &mut Wakes) {
        let Some(slot) = self.slot(tag) else { return };
        let from = std::mem::replace(&mut slot.state, to);
        let (size, waiter, abandoned) = (slot.size as usize, slot.waiter.take(), slot.abandoned);
        self.kept.remove(&tag);
        if matches!(from, SlotState::Settled | SlotState::Overdue) {
            return;
        }
        wakes.extend(waiter);
        self.outstanding -= 1;
        self.bytes -= size;
        // A returned message stays returned: its ack only says that the broker is done with it.
        if let (SlotState::Outstanding, Some(outcome), false) = (from, outcome, abandoned) {
            self.exceptional.insert(tag, outcome);
        }
    }

    fn advance(&mut self) {
        while let Some(SlotState::Settled | SlotState::Overdue) =
            self.slots.front().map(|slot| slot.state)
        {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    fn slot(&mut self, tag: u64) -> Option<&mut Slot> {
        let index = tag.checked_sub(self.base)?;
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(publishes: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for _ in 0..publishes {
            ledger.push(Time::ZERO, 10, None);
        }
        ledger
    }

    fn waiter(index: u32) -> WaiterId {
        WaiterId { index, generation: 0 }
    }

    fn outcome(ledger: &mut Ledger, tag: u64) -> Poll<Outcome> {
        ledger.poll(tag, || waiter(0))
    }

    #[test]
    fn a_multiple_ack_confirms_all_up_to_its_tag() {
        let (mut ledger, mut wakes) = (ledger(3), Wakes::new());
        assert!(ledger.settle(2, true, false, &mut wakes));
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Confirmed));
        assert_eq!(outcome(&mut ledger, 2), Poll::Ready(Outcome::Confirmed));
        assert_eq!(outcome(&mut ledger, 3), Poll::Pending);
        assert_eq!((ledger.outstanding(), ledger.bytes()), (1, 10));
    }

    #[test]
    fn a_sweep_confirms_as_single_acks_do() {
        let mix = |ledger: &mut Ledger, wakes: &mut Wakes| {
            assert!(ledger.poll(4, || waiter(7)).is_pending());
            assert!(ledger.poll(1, || waiter(8)).is_pending());
            assert!(ledger.returned(3, ReplyCode::NO_ROUTE, "NO_ROUTE".into()));
            assert!(ledger.settle(2, false, true, wakes), "a nack in between");
            assert!(ledger.settle(6, false, false, wakes), "one ahead of the sweep");
        };
        let (mut swept, mut swept_wakes) = (ledger(7), Wakes::new());
        mix(&mut swept, &mut swept_wakes);
        assert!(swept.settle(5, true, false, &mut swept_wakes));
        let (mut single, mut single_wakes) = (ledger(7), Wakes::new());
        mix(&mut single, &mut single_wakes);
        for tag in [1, 3, 4, 5] {
            assert!(single.settle(tag, false, false, &mut single_wakes));
        }
        assert_eq!((swept, swept_wakes), (single, single_wakes));
    }

    #[test]
    fn below_the_bound_nothing_but_confirmed_is_left_to_tell() {
        let (mut ledger, mut wakes) = (ledger(5), Wakes::new());
        assert_eq!(ledger.confirmed_below(), 1);
        ledger.settle(1, false, false, &mut wakes);
        ledger.settle(3, false, false, &mut wakes);
        assert_eq!(ledger.confirmed_below(), 2, "2 is outstanding");
        ledger.settle(2, false, true, &mut wakes);
        ledger.settle(4, false, false, &mut wakes);
        assert_eq!(ledger.confirmed_below(), 2, "2 is nacked, and nobody was told");
        assert_eq!(outcome(&mut ledger, 2), Poll::Ready(Outcome::Nacked));
        assert_eq!(ledger.confirmed_below(), 5);
    }

    #[test]
    fn nothing_is_kept_of_what_nobody_asks_for() {
        let (mut ledger, mut wakes) = (ledger(5), Wakes::new());
        ledger.settle(1, false, true, &mut wakes);
        assert!(ledger.poll(2, || waiter(7)).is_pending());
        ledger.abandon(1..5);
        assert!(ledger.returned(2, ReplyCode::NO_ROUTE, "NO_ROUTE".into()));
        ledger.settle(3, true, true, &mut wakes);
        assert_eq!((ledger.confirmed_below(), wakes.len()), (4, 0));
        ledger.end(&Arc::new(Cause::ByUs), &mut wakes);
        assert_eq!(ledger.exceptional.len(), 1, "of the last, which nobody has abandoned");
    }

    #[test]
    fn a_return_belongs_to_its_own_publish_alone() {
        let (mut ledger, mut wakes) = (ledger(3), Wakes::new());
        let returned = Outcome::Returned { code: ReplyCode::NO_ROUTE, text: "NO_ROUTE".into() };
        assert!(ledger.returned(2, ReplyCode::NO_ROUTE, "NO_ROUTE".into()));
        ledger.settle(3, true, false, &mut wakes);
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Confirmed));
        assert_eq!(outcome(&mut ledger, 2), Poll::Ready(returned));
        assert_eq!(outcome(&mut ledger, 3), Poll::Ready(Outcome::Confirmed));
    }

    #[test]
    fn acks_out_of_order_settle_their_own_tags() {
        let (mut ledger, mut wakes) = (ledger(3), Wakes::new());
        ledger.settle(3, false, false, &mut wakes);
        ledger.settle(1, false, true, &mut wakes);
        assert_eq!(outcome(&mut ledger, 3), Poll::Ready(Outcome::Confirmed));
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Nacked));
        assert_eq!(outcome(&mut ledger, 2), Poll::Pending);
    }

    #[test]
    fn whoever_waits_is_woken_once() {
        let (mut ledger, mut wakes) = (ledger(2), Wakes::new());
        assert!(ledger.poll(1, || waiter(7)).is_pending());
        ledger.settle(1, false, false, &mut wakes);
        ledger.settle(1, false, false, &mut wakes);
        assert_eq!(wakes, [waiter(7)]);
    }

    #[test]
    fn the_end_leaves_no_publish_without_an_outcome() {
        let (mut ledger, mut wakes) = (ledger(2), Wakes::new());
        let cause = Arc::new(Cause::ByUs);
        ledger.settle(2, false, false, &mut wakes);
        ledger.end(&cause, &mut wakes);
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Unknown(cause)));
        assert_eq!(outcome(&mut ledger, 2), Poll::Ready(Outcome::Confirmed));
        assert_eq!((ledger.outstanding(), ledger.bytes()), (0, 0));
    }

    fn kept() -> Option<Box<Kept>> {
        let name = ShortString::EMPTY;
        let (exchange, routing_key, properties) = (name.clone(), name, Bytes::new());
        let (mandatory, sequence_at, body) = (false, None, Vec::new());
        Some(Box::new(Kept { exchange, routing_key, mandatory, properties, sequence_at, body }))
    }

    fn replayed(ledger: &mut Ledger) -> Vec<u64> {
        ledger.replay(Time::ZERO).map(|(tag, ..)| tag).collect()
    }

    #[test]
    fn a_new_epoch_maps_the_brokers_tags_to_the_publishes_made_in_it() {
        let (mut ledger, mut wakes) = (ledger(2), Wakes::new());
        ledger.interrupt(&Arc::new(Cause::ByUs), &mut wakes);
        assert!(replayed(&mut ledger).is_empty());
        assert_eq!(ledger.push(Time::ZERO, 10, None), 3);
        assert!(ledger.settle(1, false, false, &mut wakes));
        assert_eq!(outcome(&mut ledger, 3), Poll::Ready(Outcome::Confirmed));
        assert!(matches!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Unknown(_))));
        assert!(!ledger.settle(2, false, false, &mut wakes));
    }

    #[test]
    fn what_is_kept_is_published_again_in_order_and_in_front() {
        let (mut ledger, mut wakes) = (Ledger::default(), Wakes::new());
        for keep in [true, false, true, true] {
            ledger.push(Time::ZERO, 10, kept().filter(|_| keep));
        }
        ledger.settle(3, false, false, &mut wakes);
        ledger.interrupt(&Arc::new(Cause::ByUs), &mut wakes);
        assert!(matches!(outcome(&mut ledger, 2), Poll::Ready(Outcome::Unknown(_))));
        assert_eq!(replayed(&mut ledger), [1, 4]);
        assert_eq!(ledger.push(Time::ZERO, 10, None), 5);
        // The broker's 1 and 2 are 1 and 4, its 3 is 5.
        assert!(ledger.settle(3, false, true, &mut wakes));
        assert_eq!(outcome(&mut ledger, 5), Poll::Ready(Outcome::Nacked));
        assert!(ledger.settle(2, true, false, &mut wakes));
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Confirmed));
        assert_eq!(outcome(&mut ledger, 4), Poll::Ready(Outcome::Confirmed));
        assert!(!ledger.settle(4, false, false, &mut wakes));
        assert_eq!((ledger.outstanding(), ledger.bytes()), (0, 0));
    }

    #[test]
    fn what_is_kept_survives_a_second_cut() {
        let (mut ledger, mut wakes) = (Ledger::default(), Wakes::new());
        ledger.push(Time::ZERO, 10, kept());
        for _ in 0..3 {
            ledger.interrupt(&Arc::new(Cause::ByUs), &mut wakes);
            assert_eq!(replayed(&mut ledger), [1]);
        }
        ledger.end(&Arc::new(Cause::ByUs), &mut wakes);
        assert!(matches!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Unknown(_))));
    }

    #[test]
    fn a_late_answer_to_an_overdue_publish_changes_nothing() {
        let (mut ledger, mut wakes) = (ledger(1), Wakes::new());
        ledger.expire(Time::ZERO, Duration::ZERO, &mut wakes);
        assert!(ledger.settle(1, false, false, &mut wakes));
        assert_eq!(outcome(&mut ledger, 1), Poll::Ready(Outcome::Overdue));
    }

    #[test]
    fn a_tag_that_was_never_published_is_refused() {
        let (mut ledger, mut wakes) = (ledger(1), Wakes::new());
        assert!(!ledger.settle(2, true, false, &mut wakes));
        assert!(!ledger.settle(0, false, false, &mut wakes));
        assert!(!ledger.returned(2, ReplyCode::NO_ROUTE, "".into()));
    }
}
