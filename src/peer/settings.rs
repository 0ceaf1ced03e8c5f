//! Bounds and deadlines of queues between brokers.

use std::time::Duration;

use super::core::Window;

/// Bounds and deadlines of the queues of a [`Peer`](super::Peer). The lower of both sides' bounds
/// holds.
///
/// ```
/// use std::time::Duration;
/// use hopmq::peer::{Peer, Settings};
///
/// let mut settings = Settings::default();
/// settings.window_messages = 100;
/// settings.patience = Duration::from_secs(20);
/// let peer = Peer::with_settings("till", settings);
/// # drop(peer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Settings {
    /// How many messages one side may have sent that the other has not taken; then sending waits.
    /// 1,000.
    pub window_messages: usize,
    /// How many bytes, bodies and headers, the same may have. A message that is larger by itself is
    /// refused. 8 MiB.
    pub window_bytes: usize,
    /// How long sending waits for room. 30 s.
    pub send_timeout: Duration,
    /// How long closing waits until the other side has taken everything. 10 s.
    pub drain_timeout: Duration,
    /// How long connecting may take, until the other side has answered. 10 s.
    pub connect_timeout: Duration,
    /// How long the other side may be silent, or out of reach, before the queue is given up. Both
    /// sides tell that they are there four times in that time. 60 s.
    pub patience: Duration,
    /// How many accepted queues wait for [`Peer::accept`](super::Peer::accept); further ones are
    /// refused. 128.
    pub backlog: usize,
    /// How many queues may be open that were accepted; further ones are refused. 4,096.
    pub most_accepted: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            window_messages: 1_000,
            window_bytes: 8 * 1024 * 1024,
            send_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            backlog: 128,
            most_accepted: 4_096,
        }
    }
}

impl Settings {
    pub(super) fn window(&self) -> Window {
        Window { messages: self.window_messages.max(1), bytes: self.window_bytes.max(1) }
    }

    /// How often a side tells that it is there.
    pub(super) fn pulse(&self) -> Duration {
        (self.patience / 4).max(Duration::from_millis(1))
    }

    /// How long the broker keeps the two queues when nobody uses them. Longer than patience, so that
    /// they outlive what can still go on; the accepting side takes the connecting side's.
    pub(super) fn expiry(&self) -> Duration {
        (self.patience * 2).max(Duration::from_secs(1))
    }
}
