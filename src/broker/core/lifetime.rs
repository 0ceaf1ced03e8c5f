//! How long messages and queues last: expiry, length limits, unused queues.

use std::sync::Arc;

use super::{
    At, Core, Message, Refusal,
    dead_letter::{Dead, Reason},
    deadline,
    peer::Slot,
    queue::{Queue, QueueId},
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

    /// Closes channels with deliveries that were not settled in time
    /// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    fn end_overdue(&mut self, now: Time) {
        self.overdue = None;
        let Some(timeout) = self.limits.acknowledgement else { return };
        let mut late = Vec::new();
        for (conn, peer) in &self.peers {
            for (number, slot) in &peer.channels {
                let Slot::Open(channel) = slot else { continue };
                // Tags are given in order, so the first is the oldest.
                let Some(oldest) = channel.unacked.values().next() else { continue };
                let due = deadline(oldest.since, timeout);
                if due <= now {
                    late.push(At { conn: *conn, channel: *number });
                } else {
                    self.overdue = self.overdue.into_iter().chain([due]).min();
                }
            }
        }
        for at in late {
            let refusal = Refusal::precondition(format_args!(
                "delivery acknowledgement on channel {} timed out. Timeout value used: {} ms. This \
                 timeout value can be configured, see consumers doc guide to learn more",
                at.channel,
                timeout.as_millis()
            ))
            .for_budget(Budget::AcknowledgementTime);
            self.refuse(at, refusal, MethodId::default(), now);
        }
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
