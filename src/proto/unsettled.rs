//! Which deliveries of a channel are still to be settled, so that acks can be merged safely.
//!
//! `multiple` is used only where every lower tag on the channel is settled: anything else would
//! settle a delivery that somebody still works on (misuse: 406 "unknown delivery tag" later).

use std::{collections::VecDeque, iter, num::NonZero};

/// What is known of one delivery tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tag {
    Unsettled,
    /// Nothing is owed: automatic, or told to the broker.
    Done,
}

/// The settlement state of the deliveries of one channel in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsettled {
    base: u64,
    tags: VecDeque<Tag>,
    /// The highest tag that one multiple ack can cover.
    due: Option<NonZero<u64>>,
    outstanding: usize,
    /// The last delivery was a direct reply, which had the next tag without using it up.
    replied: bool,
}

impl Default for Unsettled {
    /// Delivery tags start at 1 (1.1).
    fn default() -> Self {
        Unsettled { base: 1, tags: VecDeque::new(), due: None, outstanding: 0, replied: false }
    }
}

/// How an ack goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ack {
    /// It waits for the next flush, where it may be merged with others.
    Merged,
    /// Lower tags are unsettled: it goes out alone, at once.
    Alone,
    /// There is no such unsettled delivery.
    Unknown,
}

impl Unsettled {
    /// Notes a delivery. False when its tag is not the next one, which breaks the protocol.
    pub fn delivered(&mut self, tag: u64, owes_ack: bool) -> bool {
        if !self.is_next(tag) {
            return false;
        }
        self.delivered_in_turn(1, owes_ack);
        true
    }

    /// The tag that the next delivery must have; nothing where it may have one of two.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.replied).then_some(self.base + self.tags.len() as u64)
    }

    /// Notes so many deliveries, whose tags were looked at: they follow [`Unsettled::next`].
    pub(super) fn delivered_in_turn(&mut self, count: usize, owe_acks: bool) {
        if !owe_acks && self.tags.is_empty() {
            self.base += count as u64;
            return;
        }
        self.outstanding += if owe_acks { count } else { 0 };
        let tag = if owe_acks { Tag::Unsettled } else { Tag::Done };
        self.tags.extend(iter::repeat_n(tag, count));
    }

    /// Notes a direct reply, which owes nothing. RabbitMQ gives it the next tag, and gives the same
    /// tag to the next delivery; a broker that counts it is understood as well.
    pub fn replied(&mut self, tag: u64) -> bool {
        self.replied = self.is_next(tag);
        self.replied
    }

    fn is_next(&mut self, tag: u64) -> bool {
        let next = self.base + self.tags.len() as u64;
        if std::mem::take(&mut self.replied) && tag == next + 1 {
            self.delivered_in_turn(1, false);
            return true;
        }
        tag == next
    }

    /// The number of deliveries that wait for their settlement.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Acknowledges one delivery.
    #[inline]
    pub fn ack(&mut self, tag: u64) -> Ack {
        if tag != self.base {
            return if self.settle(tag) { Ack::Alone } else { Ack::Unknown };
        }
        if self.tags.pop_front().is_none() {
            return Ack::Unknown;
        }
        // The lowest is never one of which nothing is owed.
        self.base += 1;
        self.outstanding -= 1;
        self.advance();
        // Of all tags that it covers, the broker knows this one: a multiple ack has to name one.
        self.due = NonZero::new(tag);
        Ack::Merged
    }

    /// Settles one delivery by a method of its own (reject, nack, or an ack that is not to be
    /// merged). False when there is no such unsettled delivery.
    pub fn settle(&mut self, tag: u64) -> bool {
        match self.tag(tag) {
            Some(state @ Tag::Unsettled) => *state = Tag::Done,
            _ => return false,
        }
        self.outstanding -= 1;
        self.advance();
        true
    }

    /// The tag of the multiple ack that is due, if any; from now on it is no longer due.
    pub fn take_due(&mut self) -> Option<u64> {
        self.due.take().map(NonZero::get)
    }

    /// Whether an ack waits for the next flush.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    fn advance(&mut self) {
        while self.tags.front() == Some(&Tag::Done) {
            self.tags.pop_front();
            self.base += 1;
        }
    }

    fn tag(&mut self, tag: u64) -> Option<&mut Tag> {
        let index = tag.checked_sub(self.base)?;
        self.tags.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(count: u64) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for tag in 1..=count {
            assert!(unsettled.delivered(tag, true));
        }
        unsettled
    }

    #[test]
    fn acks_in_order_merge_into_one() {
        let mut unsettled = delivered(3);
        assert_eq!([unsettled.ack(1), unsettled.ack(2)], [Ack::Merged, Ack::Merged]);
        assert_eq!(unsettled.take_due(), Some(2));
        assert_eq!(unsettled.take_due(), None);
    }

    #[test]
    fn an_ack_above_an_unsettled_delivery_goes_alone() {
        let mut unsettled = delivered(3);
        assert_eq!(unsettled.ack(3), Ack::Alone);
        assert_eq!(unsettled.ack(1), Ack::Merged);
        assert_eq!(unsettled.take_due(), Some(1));
        assert_eq!(unsettled.ack(2), Ack::Merged);
        // Tag 3 was told to the broker already: the multiple ack names 2, which it still knows.
        assert_eq!(unsettled.take_due(), Some(2));
        assert_eq!(unsettled.outstanding(), 0);
    }

    #[test]
    fn settling_twice_is_noticed() {
        let mut unsettled = delivered(2);
        unsettled.ack(1);
        assert_eq!(unsettled.ack(1), Ack::Unknown);
        assert!(unsettled.settle(2));
        assert!(!unsettled.settle(2));
    }

    #[test]
    fn automatic_deliveries_owe_nothing_and_leave_no_trace() {
        let mut unsettled = Unsettled::default();
        assert!(unsettled.delivered(1, false));
        assert!(unsettled.delivered(2, true));
        assert!(unsettled.delivered(3, false));
        assert_eq!(unsettled.ack(2), Ack::Merged);
        assert_eq!(unsettled.take_due(), Some(2), "the last tag that the broker awaits");
    }

    #[test]
    fn a_direct_reply_uses_its_tag_up_or_does_not() {
        for counted in [0, 1] {
            let mut unsettled = delivered(1);
            assert!(unsettled.replied(2));
            assert!(unsettled.replied(2 + counted));
            let next = 2 + 2 * counted;
            assert!(unsettled.delivered(next, true), "counted: {counted}");
            assert!(!unsettled.delivered(next + 2, true));
            assert_eq!([unsettled.ack(1), unsettled.ack(next)], [Ack::Merged, Ack::Merged]);
            assert_eq!(unsettled.take_due(), Some(next));
        }
        assert!(!delivered(1).replied(1));
        assert!(!delivered(1).replied(3));
    }

    #[test]
    fn a_tag_out_of_turn_is_refused() {
        assert!(!delivered(1).delivered(3, true));
    }
}
