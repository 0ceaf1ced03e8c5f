//! What a connection counts, reported at an interval.

use std::time::Duration;

use metrics::{SharedString, counter, gauge};
use tokio::time::timeout;

use super::*;
use crate::{ConnectionState, ConnectionStats, StateChange, StateChanges};

/// How often, unless [`Reporter::every`] says otherwise.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Reports what a connection counts, at an interval and with every change of its state, until it has
/// ended or this is dropped: then its gauges are 0.
///
/// It does not keep the connection alive. One for each connection, under names that differ; a
/// connection that is made anew goes on under the same name.
#[derive(Debug)]
#[must_use = "nothing is reported until it is run"]
pub struct Reporter {
    changes: StateChanges,
    label: Label,
    every: Duration,
    reported: Reported,
}

/// Under which name connections are reported: one, or those of a pool together.
#[derive(Clone, Debug)]
pub(super) struct Label(SharedString);

/// How far each counter of a connection was reported.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported([u64; COUNTERS]);

const COUNTERS: usize = 15;

const STATES: [(ConnectionState, &str); 9] = [
    (ConnectionState::Disconnected, "disconnected"),
    (ConnectionState::Connecting, "connecting"),
    (ConnectionState::Connected, "connected"),
    (ConnectionState::Degraded, "degraded"),
    (ConnectionState::Reconnecting, "reconnecting"),
    (ConnectionState::Recovering, "recovering"),
    (ConnectionState::CircuitOpen, "circuit_open"),
    (ConnectionState::Closing, "closing"),
    (ConnectionState::Closed, "closed"),
];

impl Reporter {
    /// Of the connection of these [changes](crate::Conn::state_changes), which is called so in the
    /// label `connection`.
    pub fn new(changes: StateChanges, connection: impl Into<String>) -> Self {
        let label = Label::new(connection);
        Reporter { changes, label, every: INTERVAL, reported: Reported::default() }
    }

    /// How often it reports while nothing happens, 5 seconds by itself; what waits and what is
    /// unsettled is seen that often.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Reports until the connection has ended.
    ///
    /// Dropped, it reports no more.
    pub async fn run(mut self) {
        loop {
            self.report();
            match timeout(self.every, self.changes.next()).await {
                Ok(Some(change)) => self.failed(&change),
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }

    /// Reports now.
    pub fn report(&mut self) {
        let stats = self.changes.stats();
        self.label.count(&mut self.reported, &stats);
        self.label.set([&stats]);
    }

    fn failed(&self, change: &StateChange) {
        if let Some(error) = &change.cause {
            counter!(CONNECTION_ERRORS, "connection" => self.label.name(), "kind" => error.kind())
                .increment(1);
        }
    }
}

/// Nobody looks at the connection any more: it must not seem up for ever.
impl Drop for Reporter {
    fn drop(&mut self) {
        self.report();
        if self.changes.stats().state != ConnectionState::Closed {
            self.label.set([]);
        }
    }
}

impl Label {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Label(SharedString::from(name.into()))
    }

    pub(super) fn name(&self) -> SharedString {
        self.0.clone()
    }

    /// Adds what a connection has counted since the last time.
    pub(super) fn count(&self, reported: &mut Reported, stats: &ConnectionStats) {
        for ((name, now), before) in counters(stats).into_iter().zip(&mut reported.0) {
            let grown = now.saturating_sub(*before);
            counter!(name, "connection" => self.name()).increment(grown);
            *before = now;
        }
    }

    /// Says what is now, of all these connections together.
    pub(super) fn set<'a>(&self, all: impl IntoIterator<Item = &'a ConnectionStats>) {
        let (mut sums, mut states) = ([0.0; GAUGES.len()], [0.0; STATES.len()]);
        for stats in all {
            for (sum, (_, value)) in sums.iter_mut().zip(GAUGES) {
                *sum += value(stats);
            }
            for (sum, (state, _)) in states.iter_mut().zip(STATES) {
                *sum += flag(stats.state == state);
            }
        }
        for ((name, _), sum) in GAUGES.into_iter().zip(sums) {
            gauge!(name, "connection" => self.name()).set(sum);
        }
        for ((_, state), sum) in STATES.into_iter().zip(states) {
            gauge!(CONNECTION_STATE, "connection" => self.name(), "state" => state).set(sum);
        }
    }
}

type Gauge = fn(&ConnectionStats) -> f64;

const GAUGES: [(&str, Gauge); 9] = [
    (CONNECTION_UP, |of| {
        flag(matches!(of.state, ConnectionState::Connected | ConnectionState::Degraded))
    }),
    (CONNECTION_BLOCKED, |of| flag(of.is_blocked)),
    (BREAKER_OPEN, |of| flag(of.state == ConnectionState::CircuitOpen)),
    (NOT_RECOVERED, |of| of.not_recovered.len() as f64),
    (CHANNELS, |of| of.channels as f64),
    (UNCONFIRMED, |of| of.unconfirmed as f64),
    (UNSETTLED, |of| of.unsettled as f64),
    (OUTBOUND_BYTES, |of| of.outbound_bytes as f64),
    (INBOUND_BYTES, |of| of.inbound_bytes as f64),
];

fn counters(stats: &ConnectionStats) -> [(&'static str, u64); COUNTERS] {
    let (machine, traffic) = (&stats.machine, &stats.traffic);
    [
        (BREAKER_TRIPS, machine.trips),
        (ATTEMPTS, machine.attempts),
        (LOSSES, machine.losses),
        (RECONNECTS, machine.recoveries),
        (PUBLISHED, traffic.published),
        (PUBLISHED_BYTES, traffic.published_bytes),
        (CONFIRMED, traffic.confirmed),
        (NACKED, traffic.nacked),
        (RETURNED, traffic.returned),
        (REPLAYED, stats.replayed),
        (DELIVERED, traffic.delivered),
        (DELIVERED_BYTES, traffic.delivered_bytes),
        (REDELIVERED, traffic.redelivered),
        (SENT_BYTES, traffic.bytes_sent),
        (RECEIVED_BYTES, traffic.bytes_received),
    ]
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
