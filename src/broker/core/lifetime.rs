//! How long messages and queues last: expiry, length limits, unused queues.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    At, Core, Message, Name, Refusal,
    arguments::QueueKind,
    channel::Settle,
    dead_letter::{Dead, Reason},
    deadline,
    peer::Slot,
    queue::{ConsumerId, Queue, QueueId},
};
use crate::{broker::event::Budget, fsm::Time, wire::MethodId};

impl Queue {
    /// Whether a length limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.settings.max_length.is_some_and(|max| self.ready.len() >= max)
            || self.settings.max_bytes.is_some_and(|max| self.ready.bytes() >= max)
    }

    fn is_over(&self) -> bool {
        self.settings.max_length.is_some_and(|max| self.ready.len() > max)
            || self.settings.max_bytes.is_some_and(|max| self.ready.bytes() > max)
    }

    /// When a message that arrives now expires: the shorter of its own time and the queue's.
    pub(super) fn expiry_of(&self, message: &Message, now: Time) -> Option<Time> {
        let own = message.facts.expiration.map(std::time::Duration::from_millis);
        let ttl = match (own, self.settings.message_ttl) {
            (Some(own), Some(all)) => Some(own.min(all)),
            (own, all) => own.or(all),
        };
        ttl.map(|ttl| deadline(now, ttl))
    }

    /// Whether it has stood unused for as long as `x-expires` allows.
    fn is_unused(&self, now: Time) -> bool {
        self.consumers.is_empty()
            && self.settings.expires.is_some_and(|expires| deadline(self.used, expires) <= now)
    }

    fn next_due(&self) -> Option<Time> {
        let message = if self.expiring { self.ready.next_expiry() } else { None };
        let unused = match self.settings.expires {
            Some(expires) if self.consumers.is_empty() => Some(deadline(self.used, expires)),
            _ => None,
        };
        message.into_iter().chain(unused).min()
    }
}

impl Core {
    /// Does what fell due. To be called when `poll_timeout` says so.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        while let Some(&(due, id)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.remove(&(due, id));
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.timer = None;
            if queue.is_unused(now) {
                self.delete_queue(id, now);
                continue;
            }
            self.expire(id, now);
            self.arm(id);
        }
        self.settle_dead(now);
        if self.overdue.is_some_and(|due| due <= now) {
            self.end_overdue(now);
        }
        if self.confirms_due.is_some_and(|due| due <= now) {
            self.confirms_due = None;
            self.flush_all(now);
        }
        // What expired may have ended an alarm.
        self.watch_memory(None);
    }

    /// Sees to it that deliveries are looked at when they may be overdue.
    pub(super) fn watch_acknowledgements(&mut self, now: Time) {
        if let (None, Some(timeout)) = (self.overdue, self.limits.acknowledgement) {
            self.overdue = Some(deadline(now, timeout));
        }
    }

    /// Ends what has not settled its deliveries in time: a consumer of a quorum queue, where its
    /// client heeds cancellations, and the whole channel otherwise
    /// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    fn end_overdue(&mut self, now: Time) {
        self.overdue = None;
        let Some(timeout) = self.limits.acknowledgement else { return };
        let mut late = Vec::new();
        for (conn, peer) in &self.peers {
            for (number, slot) in &peer.channels {
                let Slot::Open(channel) = slot else { continue };
                let mut tags = Vec::new();
                // Tags are given in order, so the first is the oldest.
                for (tag, one) in &channel.unacked {
                    let due = deadline(one.since, timeout);
                    if due > now {
                        self.overdue = self.overdue.into_iter().chain([due]).min();
                        break;
                    }
                    tags.push(*tag);
                }
                if !tags.is_empty() {
                    late.push((At { conn: *conn, channel: *number }, tags));
                }
            }
        }
        for (at, tags) in late {
            match self.consumers_of(at, &tags) {
                Some(consumers) => self.end_consumers(at, consumers, &tags, now),
                None => {
                    let refusal = overdue(at.channel, timeout);
                    self.refuse(at, refusal, MethodId::default(), now);
                }
            }
        }
    }

    /// Those to which deliveries were made, where cancelling them is enough.
    fn consumers_of(&self, at: At, tags: &[u64]) -> Option<BTreeMap<(QueueId, ConsumerId), Name>> {
        let peer = self.peers.get(&at.conn)?;
        let Slot::Open(channel) = peer.channels.get(&at.channel)? else { return None };
        let of_tag = |tag| {
            let one = channel.unacked.get(tag)?;
            let queue = self.queues.get(&one.queue)?;
            let id = one.consumer?;
            let consumer = queue.consumers.get(id)?;
            let quorum = queue.settings.kind == QueueKind::Quorum;
            quorum.then(|| ((one.queue, id), consumer.tag.clone()))
        };
        peer.heeds_cancel().then(|| tags.iter().map(of_tag).collect())?
    }

    /// Cancels consumers and takes their overdue deliveries back.
    fn end_consumers(
        &mut self,
        at: At,
        consumers: BTreeMap<(QueueId, ConsumerId), Name>,
        tags: &[u64],
        now: Time,
    ) {
        for ((queue, consumer), tag) in consumers {
            self.notify_cancel(at, &tag);
            self.remove_consumer(queue, consumer, now);
        }
        let Ok(channel) = self.channel(at) else { return };
        let taken = tags.iter().filter_map(|tag| Some((*tag, channel.reclaim(*tag)?))).collect();
        self.settle_all(at, Settle::Reclaim, taken, now);
        self.settle_dead(now);
    }

    /// Notes that a queue was used.
    pub(super) fn touch(&mut self, id: QueueId, now: Time) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.used = now;
        }
        self.arm(id);
    }

    /// Drops the heads of a queue whose time is over.
    pub(super) fn expire(&mut self, id: QueueId, now: Time) {
        let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.expiring) else {
            return;
        };
        while let Some(entry) = queue.ready.pop_expired(|due| due <= now) {
            self.dead.push_back(Dead::of_entry(id, entry, Reason::Expired));
        }
    }

    /// After a message arrived: what is over the limits goes, what expires at once goes, and
    /// the timer is set for what is left.
    pub(super) fn trim(&mut self, id: QueueId, now: Time) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        while queue.is_over() {
            match queue.ready.pop() {
                Some(entry) => self.dead.push_back(Dead::of_entry(id, entry, Reason::MaxLength)),
                None => break,
            }
        }
        if queue.expiring {
            self.expire(id, now);
            self.arm(id);
        }
    }

    /// Sets the timer for the next thing that falls due in a queue.
    pub(super) fn arm(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let due = queue.next_due();
        if due == queue.timer {
            return;
        }
        if let Some(before) = queue.timer.take() {
            self.timers.remove(&(before, id));
        }
        if let Some(due) = due {
            self.timers.insert((due, id));
        }
        queue.timer = due;
    }

    /// Forgets what a message that is gone took.
    pub(super) fn release(&mut self, message: &Arc<Message>) {
        self.stored = self.stored.saturating_sub(message.cost());
    }
}

fn overdue(channel: u16, timeout: Duration) -> Refusal {
    Refusal::precondition(format_args!(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {} ms. This \
         timeout value can be configured, see consumers doc guide to learn more",
        timeout.as_millis()
    ))
    .for_budget(Budget::AcknowledgementTime)
}
