//! What a pool says of itself.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::ConnectionStats;

/// What a pool has, and what it has counted since it was made; see
/// [`ChanPool::status`](super::ChanPool::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The most channels there may be.
    pub max_channels: usize,
    /// The most connections there may be.
    pub max_connections: usize,
    /// Channels there are, in use or not.
    pub channels: usize,
    /// Channels that are in use.
    pub in_use: usize,
    /// Channels that were given back and wait for the next call.
    pub available: usize,
    /// Calls that wait for a channel, or for one to be opened.
    pub waiting: usize,
    /// The connections there are.
    pub connections: Vec<ConnectionStatus>,
    /// Channels that were opened.
    pub created: u64,
    /// Channels that were not kept, and why.
    pub evicted: Evictions,
    /// Connections that were made.
    pub connections_created: u64,
    /// Connections that were not kept, and why.
    pub connections_evicted: Evictions,
    /// Checks that were made.
    pub checks: u64,
}

/// A connection of a pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Its number: the pool counts them from 0 on.
    pub number: u64,
    /// Channels of the pool on it.
    pub channels: usize,
    /// Whether it is not used for new channels any more, and goes with the last that is in use.
    pub is_retired: bool,
    /// How long the last check took there and back; `None` before the first, and if it was not
    /// answered.
    pub round_trip: Option<Duration>,
    /// What the connection says.
    pub stats: ConnectionStats,
}

/// How many were evicted for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Evictions {
    /// They had ended.
    pub closed: u64,
    /// They were not used for too long.
    pub idle: u64,
    /// They, or their connections, were too old.
    pub expired: u64,
    /// They, or their connections, did not answer in time.
    pub unanswered: u64,
    /// They were given back while a consumer was still on them.
    pub in_use: u64,
}

impl Evictions {
    /// How many in all.
    pub fn total(&self) -> u64 {
        self.by_reason().into_iter().map(|(_, count)| count).sum()
    }

    /// Each reason in one word, for metrics and logs, with how many.
    pub fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("closed", self.closed),
            ("idle", self.idle),
            ("expired", self.expired),
            ("unanswered", self.unanswered),
            ("in_use", self.in_use),
        ]
    }
}

/// What was there when a pool was closed; see [`ChanPool::close`](super::ChanPool::close).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolClosed {
    /// Channels that did not come back in time: they ended in use.
    pub channels_left: usize,
    /// Connections that were closed in an orderly way.
    pub connections_closed: usize,
}

/// Why something is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Closed,
    Idle,
    Expired,
    Unanswered,
    InUse,
}

/// Counts of evictions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    closed: AtomicU64,
    idle: AtomicU64,
    expired: AtomicU64,
    unanswered: AtomicU64,
    in_use: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, reason: Reason) {
        let counter = match reason {
            Reason::Closed => &self.closed,
            Reason::Idle => &self.idle,
            Reason::Expired => &self.expired,
            Reason::Unanswered => &self.unanswered,
            Reason::InUse => &self.in_use,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Evictions {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Evictions {
            closed: of(&self.closed),
            idle: of(&self.idle),
            expired: of(&self.expired),
            unanswered: of(&self.unanswered),
            in_use: of(&self.in_use),
        }
    }
}
