//! How much waits for all consumers of a connection together.

use super::Limits;
use crate::fsm::Aside;

/// So many bytes are read between two looks for messages that have waited since the last one: 32 blocks.
const DETACH_AFTER: usize = 2 * 1024 * 1024;

/// An upper bound of what waits, so that consumers are counted only when it is reached.
///
/// What consumers take is not subtracted: they are many, and each look finds out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Inbound {
    // These decide only when to count and to copy, not what comes of it.
    messages: Aside<usize>,
    bytes: Aside<usize>,
    full: bool,
    read: Aside<usize>,
}

impl Inbound {
    /// Deliveries arrived for a consumer, and will wait.
    pub(super) fn arrived(&mut self, messages: usize, bytes: usize) {
        *self.messages += messages;
        *self.bytes += bytes;
    }

    /// Whether more may wait than is allowed: it is to be counted.
    #[inline]
    pub(super) fn may_be_full(&self, limits: &Limits) -> bool {
        exceeds(*self.messages, *self.bytes, limits)
    }

    /// It was counted: so much waits. Gives whether it is too much.
    pub(super) fn counted(&mut self, messages: usize, bytes: usize, limits: &Limits) -> bool {
        (self.messages, self.bytes) = (Aside(messages), Aside(bytes));
        self.full = exceeds(messages, bytes, limits);
        self.full
    }

    /// Whether it was too much when it was last counted.
    #[inline]
    pub(super) fn was_full(&self) -> bool {
        self.full
    }

    /// So many bytes were read. Gives whether it is time to detach what has waited since the last time.
    #[inline]
    pub(super) fn read(&mut self, bytes: usize) -> bool {
        *self.read += bytes;
        let due = *self.read >= DETACH_AFTER;
        if due {
            *self.read = 0;
        }
        due
    }
}

/// Whether so much is more than may wait.
pub(super) fn exceeds(messages: usize, bytes: usize, limits: &Limits) -> bool {
    messages > limits.inbound_messages || bytes > limits.inbound_bytes
}
