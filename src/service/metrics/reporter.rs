//! What a connection counts, reported at an interval.

use std::time::Duration;

use metrics::{SharedString, counter, gauge};
use tokio::time::timeout;

use super::*;
use crate::{ConnectionState, ConnectionStats, StateChange, StateChanges};

/// How often, unless [`Reporter::every`] says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reports what a connection counts, at an interval and with every change of its state, until it has
/// ended or this is dropped: then its gauges are 0.
///
/// It does not keep the connection alive. One for each connection, under names that differ; a
/// connection that is made anew goes on under the same name.
#[derive(Debug)]
#[must_use = "nothing is reported until it is run"]
pub struct Reporter {
    changes: StateChanges,
    name: SharedString,
    every: Duration,
    reported: [u64; COUNTERS],
}

const COUNTERS: usize = 15;
const GAUGES: usize = 9;

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
        let name = SharedString::from(connection.into());
        Reporter { changes, name, every: INTERVAL, reported: [0; COUNTERS] }
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
        for ((name, now), before) in counters(&stats).into_iter().zip(&mut self.reported) {
            let grown = now.saturating_sub(*before);
            counter!(name, "connection" => self.name.clone()).increment(grown);
            *before = now;
        }
        for (name, value) in gauges(&stats) {
            gauge!(name, "connection" => self.name.clone()).set(value);
        }
        for (state, label) in STATES {
            let value = flag(stats.state == state);
            gauge!(CONNECTION_STATE, "connection" => self.name.clone(), "state" => label)
                .set(value);
        }
    }

    fn failed(&self, change: &StateChange) {
        if let Some(error) = &change.cause {
            counter!(CONNECTION_ERRORS, "connection" => self.name.clone(), "kind" => error.kind())
                .increment(1);
        }
    }
}

/// Nobody looks at the connection any more: it must not seem up for ever.
impl Drop for Reporter {
    fn drop(&mut self) {
        self.report();
        let stats = self.changes.stats();
        for (name, _) in gauges(&stats) {
            gauge!(name, "connection" => self.name.clone()).set(0.0);
        }
        if stats.state != ConnectionState::Closed {
            for (_, label) in STATES {
                gauge!(CONNECTION_STATE, "connection" => self.name.clone(), "state" => label)
                    .set(0.0);
            }
        }
    }
}

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

fn gauges(stats: &ConnectionStats) -> [(&'static str, f64); GAUGES] {
    use ConnectionState::{CircuitOpen, Connected, Degraded};
    let count = |number: usize| number as f64;
    [
        (CONNECTION_UP, flag(matches!(stats.state, Connected | Degraded))),
        (CONNECTION_BLOCKED, flag(stats.is_blocked)),
        (BREAKER_OPEN, flag(stats.state == CircuitOpen)),
        (NOT_RECOVERED, count(stats.not_recovered.len())),
        (CHANNELS, count(stats.channels)),
        (UNCONFIRMED, count(stats.unconfirmed)),
        (UNSETTLED, count(stats.unsettled)),
        (OUTBOUND_BYTES, count(stats.outbound_bytes)),
        (INBOUND_BYTES, count(stats.inbound_bytes)),
    ]
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
