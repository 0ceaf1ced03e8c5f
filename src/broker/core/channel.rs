//! The state of one channel: its mode, what it was sent and has not settled, what it published
//! and was not told about.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    message::Message,
    name::Name,
    queue::{ConsumerId, Entry, QueueId},
    refusal::Refusal,
};
use crate::{fsm::Time, wire::ReplyCode};

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Channel {
    pub(crate) mode: Mode,
    /// The last delivery tag that was given.
    pub(crate) last_tag: u64,
    /// Deliveries that wait to be settled.
    pub(crate) unacked: BTreeMap<u64, Unacked>,
    /// Deliveries that were taken back since they were overdue: settling them says nothing.
    pub(crate) reclaimed: BTreeSet<u64>,
    /// The prefetch that new consumers get.
    pub(crate) prefetch: u16,
    /// The prefetch of all consumers together; none is no limit.
    pub(crate) global_prefetch: u16,
    /// Unsettled deliveries to consumers, as the global prefetch counts them.
    pub(crate) to_consumers: u32,
    pub(crate) consumers: BTreeMap<Name, (QueueId, ConsumerId)>,
    /// The name that an empty queue name stands for (AMQP 0-9-1, queue domain).
    pub(crate) last_queue: Name,
    pub(crate) reply_consumer: Option<ReplyConsumer>,
    /// The address of the reply consumer before: answers to it are dropped.
    pub(crate) reply_address_before: Option<Name>,
    /// Consumers that wait for the global prefetch.
    pub(crate) parked: Vec<(QueueId, ConsumerId)>,
}

/// What a channel's publishes mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// Nothing is said about them.
    #[default]
    Plain,
    /// Each is confirmed.
    Confirm(Confirms),
    /// They wait for the commit.
    Tx(Transaction),
}

/// A delivery that waits to be settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unacked {
    pub(crate) queue: QueueId,
    pub(crate) entry: Entry,
    /// None where it was polled.
    pub(crate) consumer: Option<ConsumerId>,
    /// When it was delivered.
    pub(crate) since: Time,
    /// It was read from a stream, which keeps it whatever becomes of the delivery.
    pub(crate) of_stream: bool,
}

/// The consumer of direct replies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReplyConsumer {
    pub(crate) tag: Name,
    /// The address that stands in for `amq.rabbitmq.reply-to` in what the channel publishes.
    pub(crate) address: Name,
}

/// Publishes that the publisher was not told about, as runs of the same outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Confirms {
    last: u64,
    due: VecDeque<Run>,
}

/// Consecutive publishes with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) ack: bool,
    /// The batch that has to be stored before it is told.
    pub(crate) batch: u64,
    /// Before this it is not told, by decree.
    pub(crate) due: Time,
}

impl Confirms {
    /// Records the outcome of the next publish, which is known once a batch is stored, and told at
    /// `due` at the earliest.
    pub(crate) fn record(&mut self, ack: bool, batch: u64, due: Time) {
        self.last += 1;
        match self.due.back_mut() {
            Some(run) if (run.ack, run.batch, run.due) == (ack, batch, due) => run.last = self.last,
            _ => self.due.push_back(Run { first: self.last, last: self.last, ack, batch, due }),
        }
    }

    /// The next outcome to tell, where its batch is stored and it is due. Runs that became ready together are
    /// one: a store must not cost frames.
    pub(crate) fn next(&mut self, stored: u64, now: Time) -> Option<Run> {
        let ready = |run: &Run| run.batch <= stored && run.due <= now;
        let mut told = self.due.front().copied().filter(ready)?;
        self.due.pop_front();
        while let Some(next) = self.due.front()
            && ready(next)
            && next.ack == told.ack
        {
            told.last = next.last;
            self.due.pop_front();
        }
        Some(told)
    }

    /// When the next outcome that waits is due; at once where it does not wait by decree.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.due.front().map(|run| run.due)
    }
}

/// What waits for tx.commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub(crate) publishes: Vec<Pending>,
    pub(crate) settled: Vec<(Settle, Vec<(u64, Unacked)>)>,
    pub(crate) cost: usize,
}

/// A message routed when it was published, delivered when it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) message: Arc<Message>,
    pub(crate) queues: Vec<QueueId>,
    pub(crate) mandatory: bool,
}

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Settle {
    Ack,
    Requeue,
    Reject,
    /// The broker takes it back: it returns to its queue, and that is not counted as a failure.
    Reclaim,
}

/// So many overdue deliveries are remembered per channel.
const MOST_RECLAIMED: usize = 4096;

impl Channel {
    /// Takes the deliveries that a tag settles: one, or with `multiple` all up to it, where zero
    /// stands for all there are (AMQP 0-9-1 basic.ack.multiple).
    pub(crate) fn collect(&mut self, tag: u64, multiple: bool) -> Result<Collected, Refusal> {
        if !multiple {
            return match self.unacked.remove(&tag) {
                Some(one) => Ok(Collected::One(tag, one)),
                None if self.reclaimed.remove(&tag) => Ok(Collected::Many(BTreeMap::new())),
                None => Err(unknown_tag(tag)),
            };
        }
        if tag == 0 {
            self.reclaimed.clear();
            return Ok(Collected::Many(std::mem::take(&mut self.unacked)));
        }
        if !self.unacked.contains_key(&tag) && !self.reclaimed.contains(&tag) {
            return Err(unknown_tag(tag));
        }
        if !self.reclaimed.is_empty() {
            self.reclaimed = self.reclaimed.split_off(&(tag + 1));
        }
        let later = self.unacked.split_off(&(tag + 1));
        Ok(Collected::Many(std::mem::replace(&mut self.unacked, later)))
    }

    /// Takes back a delivery that is overdue.
    pub(crate) fn reclaim(&mut self, tag: u64) -> Option<Unacked> {
        let one = self.unacked.remove(&tag)?;
        self.reclaimed.insert(tag);
        if self.reclaimed.len() > MOST_RECLAIMED {
            self.reclaimed.pop_first();
        }
        Some(one)
    }

    /// Whether the global prefetch leaves room.
    pub(crate) fn has_room(&self) -> bool {
        self.global_prefetch == 0 || self.to_consumers < u32::from(self.global_prefetch)
    }
}

/// Deliveries taken to be settled. One is by far the most frequent case and costs nothing.
#[derive(Debug)]
pub(crate) enum Collected {
    One(u64, Unacked),
    Many(BTreeMap<u64, Unacked>),
}

impl Collected {
    pub(crate) fn into_vec(self) -> Vec<(u64, Unacked)> {
        match self {
            Collected::One(tag, one) => vec![(tag, one)],
            Collected::Many(many) => many.into_iter().collect(),
        }
    }
}

fn unknown_tag(tag: u64) -> Refusal {
    Refusal::new(ReplyCode::PRECONDITION_FAILED, format_args!("unknown delivery tag {tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_gather_into_runs() {
        let mut confirms = Confirms::default();
        for ack in [true, true, false, true] {
            confirms.record(ack, 0, Time::ZERO);
        }
        let runs: Vec<_> = std::iter::from_fn(|| confirms.next(0, Time::ZERO))
            .map(|run| (run.first, run.last, run.ack))
            .collect();
        assert_eq!(runs, [(1, 2, true), (3, 3, false), (4, 4, true)]);
        assert_eq!(confirms.next_due(), None);
    }

    #[test]
    fn confirms_that_are_delayed_keep_their_order() {
        let at = |seconds| Time::ZERO + std::time::Duration::from_secs(seconds);
        let mut confirms = Confirms::default();
        confirms.record(true, 0, at(5));
        confirms.record(true, 0, at(2));
        assert_eq!(confirms.next(0, at(4)), None, "the second is due, and behind the first");
        assert_eq!(confirms.next_due(), Some(at(5)));
        let told = confirms.next(0, at(5)).map(|run| (run.first, run.last));
        assert_eq!(told, Some((1, 2)));
    }
}
