//! What waits for all consumers together is bounded, and does not pin more memory than it takes.

use super::*;
use crate::proto::inbound::exceeds;

impl Connection {
    /// Counts what waits, if it may be too much: then reading stops.
    pub(super) fn bound_inbound(&mut self) {
        if !self.core.inbound.may_be_full(&self.core.limits) {
            return;
        }
        let (messages, bytes) = self.waiting();
        match self.core.inbound.counted(messages, bytes, &self.core.limits) {
            true => self.core.pause(),
            false => self.core.unpause(),
        }
    }

    /// Whether more waits for consumers than may. Looks only where it did when it was last counted.
    pub(super) fn inbound_is_full(&self) -> bool {
        self.core.inbound.was_full() && {
            let (messages, bytes) = self.waiting();
            exceeds(messages, bytes, &self.core.limits)
        }
    }

    /// Reading has stopped for too long: whoever holds the most is cancelled, and so on until there is
    /// room.
    pub(super) fn cancel_largest(&mut self) {
        if !self.inbound_is_full() {
            return self.bound_inbound();
        }
        let (mut messages, mut bytes) = self.waiting();
        let mut holders: Vec<_> = self
            .channels
            .iter()
            .flat_map(|channel| channel.holders().map(|holder| (holder.bytes, channel.key, holder)))
            .collect();
        holders.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
        for (_, key, holder) in holders {
            if !exceeds(messages, bytes, &self.core.limits) {
                break;
            }
            let Some(channel) = self.channels.get_mut(key) else { continue };
            let _ =
                channel.cancel_consumer(holder.number, None, ConsumerEnd::Overrun, &mut self.core);
            messages -= holder.messages;
            bytes -= holder.bytes;
        }
        self.bound_inbound();
    }

    /// So many bytes were read: from time to time, small messages that have waited for long are copied
    /// out of the blocks in which they came, of which each pins one.
    pub(super) fn was_read(&mut self, bytes: usize) {
        if self.core.inbound.read(bytes) {
            self.channels.iter_mut().for_each(Channel::detach_waiting);
        }
    }

    fn waiting(&self) -> (usize, usize) {
        let holders = self.channels.iter().flat_map(Channel::holders);
        holders.fold((0, 0), |(messages, bytes), holder| {
            (messages + holder.messages, bytes + holder.bytes)
        })
    }
}
