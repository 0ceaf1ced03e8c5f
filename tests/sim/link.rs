//! A virtual socket: two pipes with bytes in flight, which can stall, break and be lost.

use std::collections::VecDeque;

use hopmq::{broker::ConnectionId, fsm::Time};

/// Bytes that one direction takes before its writer has to wait.
const CAPACITY: usize = 64 * 1024;

/// One direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) bytes: VecDeque<u8>,
    /// Nothing arrives before.
    pub(crate) stalled_until: Time,
    /// What is written takes up no room before: the writer waits.
    pub(crate) jammed_until: Time,
    /// No more is written; the reader sees the end when it has read what is left.
    pub(crate) closed: bool,
}

/// A connection between a client and the broker.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) peer: ConnectionId,
    /// From the client to the broker.
    pub(crate) up: Pipe,
    /// From the broker to the client.
    pub(crate) down: Pipe,
    /// The client has let go of it.
    pub(crate) left: bool,
    /// The broker has let go of it.
    pub(crate) hung_up: bool,
}

impl Pipe {
    pub(crate) fn room(&self, now: Time) -> usize {
        match self.closed || self.jammed_until > now {
            true => 0,
            false => CAPACITY.saturating_sub(self.bytes.len()),
        }
    }

    /// Whether a read gives bytes, or the end.
    pub(crate) fn is_readable(&self, now: Time) -> bool {
        self.stalled_until <= now && (self.closed || !self.bytes.is_empty())
    }

    pub(crate) fn read(&mut self, most: usize) -> Vec<u8> {
        self.bytes.drain(..most.min(self.bytes.len())).collect()
    }

    /// Loses what is in flight behind the first `keep` bytes, for good.
    pub(crate) fn cut(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        self.closed = true;
    }

    pub(crate) fn heal(&mut self, now: Time) {
        self.stalled_until = self.stalled_until.min(now);
        self.jammed_until = self.jammed_until.min(now);
    }

    /// When it goes on.
    pub(crate) fn wakes_at(&self, now: Time) -> Option<Time> {
        [self.stalled_until, self.jammed_until].into_iter().filter(|at| *at > now).min()
    }
}

impl Link {
    pub(crate) fn new(peer: ConnectionId) -> Self {
        let (up, down) = (Pipe::default(), Pipe::default());
        Link { peer, up, down, left: false, hung_up: false }
    }
}
