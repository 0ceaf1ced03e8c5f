//! Heartbeats (AMQP 0-9-1, 4.2.7): sent only when idle, and a peer that is silent for two
//! intervals is dead.

use std::time::Duration;

use crate::fsm::Time;

/// When the peer was last heard and spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    interval: Duration,
    // What follows from it: worked out once, for a connection asks before every sleep.
    send_after: Duration,
    late_after: Duration,
    dead_after: Duration,
    last_sent: Time,
    last_received: Time,
}

impl Heartbeat {
    /// Starts counting; an interval of zero means no heartbeats.
    pub fn new(interval: Duration, now: Time) -> Self {
        Heartbeat {
            interval,
            send_after: interval / 2,
            late_after: interval * 5 / 4,
            dead_after: interval * 2,
            last_sent: now,
            last_received: now,
        }
    }

    /// The negotiated interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Bytes were handed to the socket.
    pub fn sent(&mut self, now: Time) {
        self.last_sent = now;
    }

    /// Bytes arrived. Any traffic counts (4.2.7).
    pub fn received(&mut self, now: Time) {
        self.last_received = now;
    }

    /// When a heartbeat is due: at half the interval, so that a late timer does not cost the
    /// connection.
    pub fn send_due(&self) -> Option<Time> {
        (!self.interval.is_zero()).then(|| self.last_sent + self.send_after)
    }

    /// When a sign of life is late: a peer sends one at half the interval, as we do.
    pub fn late_at(&self) -> Option<Time> {
        (!self.interval.is_zero()).then(|| self.last_received + self.late_after)
    }

    /// When the peer counts as dead.
    pub fn dead_at(&self) -> Option<Time> {
        (!self.interval.is_zero()).then(|| self.last_received + self.dead_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn zero_means_none() {
        let heartbeat = Heartbeat::new(Duration::ZERO, Time::ZERO);
        assert_eq!((heartbeat.send_due(), heartbeat.dead_at()), (None, None));
    }

    #[test]
    fn traffic_puts_both_deadlines_off() {
        let mut heartbeat = Heartbeat::new(10 * SECOND, Time::ZERO);
        heartbeat.sent(Time::ZERO + 3 * SECOND);
        heartbeat.received(Time::ZERO + 4 * SECOND);
        assert_eq!(heartbeat.send_due(), Some(Time::ZERO + 8 * SECOND));
        assert_eq!(heartbeat.dead_at(), Some(Time::ZERO + 24 * SECOND));
    }
}
