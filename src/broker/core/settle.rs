//! Settling deliveries: acknowledging, rejecting, returning them to their queues.

use std::collections::BTreeSet;

use super::{
    At, Core, Refusal, Reply,
    channel::{Collected, Mode, Settle, Unacked},
    dead_letter::{Dead, Reason},
    queue::{Entry, Queue, QueueId},
};
use crate::{fsm::Time, wire::method::basic};

impl Core {
    /// basic.ack
    pub(crate) fn ack(&mut self, at: At, method: &basic::Ack, now: Time) -> Result<(), Refusal> {
        self.settle(at, Settle::Ack, method.delivery_tag, method.multiple, now)
    }

    /// basic.nack
    pub(crate) fn nack(&mut self, at: At, method: &basic::Nack, now: Time) -> Result<(), Refusal> {
        // As RabbitMQ sees it since 4.3, only basic.reject says that processing failed.
        let how = if method.requeue { Settle::Reclaim } else { Settle::Reject };
        self.settle(at, how, method.delivery_tag, method.multiple, now)
    }

    /// basic.reject
    pub(crate) fn reject(
        &mut self,
        at: At,
        method: &basic::Reject,
        now: Time,
    ) -> Result<(), Refusal> {
        let how = if method.requeue { Settle::Requeue } else { Settle::Reject };
        self.settle(at, how, method.delivery_tag, false, now)
    }

    /// basic.recover, and basic.recover-async without an answer
    pub(crate) fn recover(
        &mut self,
        at: At,
        requeue: bool,
        no_wait: bool,
        now: Time,
    ) -> Result<(), Refusal> {
        if !requeue {
            return Err(Refusal::not_implemented("requeue=false"));
        }
        let taken = std::mem::take(&mut self.channel(at)?.unacked);
        // RabbitMQ's queues are processes of their own: its answer overtakes the deliveries.
        self.answer(at, no_wait, Reply::RecoverOk);
        self.settle_all(at, Settle::Reclaim, taken.into_iter().collect(), now);
        self.settle_dead(now);
        Ok(())
    }

    fn settle(
        &mut self,
        at: At,
        how: Settle,
        tag: u64,
        multiple: bool,
        now: Time,
    ) -> Result<(), Refusal> {
        let channel = self.channel(at)?;
        let taken = channel.collect(tag, multiple)?;
        if let Mode::Tx(transaction) = &mut channel.mode {
            transaction.settled.push((how, taken.into_vec()));
            return Ok(());
        }
        match taken {
            Collected::One(_, one) => {
                let queue = one.queue;
                let parked = self.settle_one(at, how, one, now);
                self.resume(at, parked, std::iter::once(queue), now);
            }
            Collected::Many(many) => self.settle_all(at, how, many.into_iter().collect(), now),
        }
        self.settle_dead(now);
        Ok(())
    }

    /// Settles deliveries that were taken from the channel, then serves whoever waited for that.
    pub(super) fn settle_all(
        &mut self,
        at: At,
        how: Settle,
        taken: Vec<(u64, Unacked)>,
        now: Time,
    ) {
        let mut touched = BTreeSet::new();
        let mut parked = false;
        for (_, one) in taken {
            touched.insert(one.queue);
            parked |= self.settle_one(at, how, one, now);
        }
        self.resume(at, parked, touched.into_iter(), now);
    }

    /// Settles one delivery. Tells whether consumers wait for the channel's global prefetch.
    fn settle_one(&mut self, at: At, how: Settle, one: Unacked, now: Time) -> bool {
        let mut parked = false;
        if let Some(id) = one.consumer {
            if let Some(peer) = self.peers.get_mut(&at.conn)
                && let Some(channel) = peer.channel(at.channel)
            {
                channel.to_consumers = channel.to_consumers.saturating_sub(1);
                parked = !channel.parked.is_empty();
            }
            if let Some(queue) = self.queues.get_mut(&one.queue)
                && let Some(consumer) = queue.consumers.get_mut(id)
            {
                consumer.unacked = consumer.unacked.saturating_sub(1);
                queue.consumers.wait(id);
            }
        }
        match how {
            Settle::Requeue => self.requeue(one, now),
            Settle::Reclaim => self.reclaim(one, now),
            Settle::Ack | Settle::Reject => self.let_go(one, how),
        }
        parked
    }

    fn let_go(&mut self, one: Unacked, how: Settle) {
        match self.queues.get_mut(&one.queue) {
            Some(queue) if one.of_stream => {
                queue.unacked = queue.unacked.saturating_sub(1);
            }
            None if one.of_stream => {}
            Some(queue) => {
                queue.unacked = queue.unacked.saturating_sub(1);
                if how == Settle::Reject && queue.settings.dead_letter_exchange.is_some() {
                    self.dead.push_back(Dead::of_entry(one.queue, one.entry, Reason::Rejected));
                } else {
                    self.release(&one.entry.message);
                    self.message_gone(one.queue, one.entry.place, &one.entry.message);
                }
            }
            // The queue was deleted meanwhile.
            None => self.release(&one.entry.message),
        }
    }

    /// Returns a delivery to its place in its queue, or gives it up where it failed too often.
    pub(super) fn requeue(&mut self, one: Unacked, now: Time) {
        let id = one.queue;
        let Some((queue, mut entry)) = self.take_back(one) else { return };
        entry.returns += 1;
        let limit = queue.settings.delivery_limit;
        if limit.is_some_and(|limit| entry.returns > limit) {
            self.dead.push_back(Dead::of_entry(id, entry, Reason::DeliveryLimit));
            return;
        }
        queue.ready.requeue(entry);
        self.trim(id, now);
    }

    /// Returns a delivery to its place in its queue, as one that did not fail.
    fn reclaim(&mut self, one: Unacked, now: Time) {
        let id = one.queue;
        let Some((queue, mut entry)) = self.take_back(one) else { return };
        entry.reclaims = entry.reclaims.saturating_add(1);
        queue.ready.requeue(entry);
        self.trim(id, now);
    }

    /// The delivery as its queue gets it back, where there is one that wants it.
    fn take_back(&mut self, one: Unacked) -> Option<(&mut Queue, Entry)> {
        if one.of_stream {
            self.let_go(one, Settle::Ack);
            return None;
        }
        if !self.queues.contains_key(&one.queue) {
            self.release(&one.entry.message);
            return None;
        }
        let queue = self.queues.get_mut(&one.queue)?;
        queue.unacked = queue.unacked.saturating_sub(1);
        Some((queue, Entry { redelivered: true, ..one.entry }))
    }

    fn resume(&mut self, at: At, parked: bool, queues: impl Iterator<Item = QueueId>, now: Time) {
        for queue in queues {
            self.dispatch(queue, now);
        }
        if parked && let Ok(channel) = self.channel(at) {
            let parked = std::mem::take(&mut channel.parked);
            self.unpark(parked, now);
        }
    }
}
