//! What can be set on a link.

use std::time::Duration;

use crate::fsm::supervisor::{Hooks, Policy};

/// How a [`Link`](super::Link) behaves.
///
/// ```
/// use hopmq::link::{Policy, Settings};
///
/// let settings = Settings {
///     id: Some("orders-cache".into()),
///     policy: Policy { max_attempts: Some(20), ..Policy::default() },
///     ..Settings::default()
/// };
/// # drop(settings);
/// ```
#[derive(Debug)]
pub struct Settings {
    /// The id that is logged with every transition. None: `link-1`, `link-2`, and so on.
    pub id: Option<String>,
    /// When to retry, when to stop trying, how long everything may take.
    pub policy: Policy,
    /// When to probe. None: never.
    pub pulse: Option<Pulse>,
    /// Run after each transition, in order, those `before` it too, on a thread where they may block.
    /// A hook that panics ends all of them.
    pub hooks: Hooks,
    /// Decides all random waits. None: another one for each link.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: None,
            policy: Policy::default(),
            pulse: Some(Pulse::default()),
            hooks: Hooks::new(),
            seed: None,
        }
    }
}

/// When a link is probed, and what a late answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pulse {
    /// How long after an answer, or after the link came up, the next probe is sent. Less than a
    /// millisecond counts as one.
    pub every: Duration,
    /// After how long without an answer the link is degraded, for
    /// [`Reasons::LATE`](super::Reasons::LATE), until the answer is there.
    pub late_after: Duration,
    /// After how long without an answer the link is lost.
    pub lost_after: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            late_after: Duration::from_secs(2),
            lost_after: Duration::from_secs(20),
        }
    }
}
