//! How long to wait before the next attempt.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// When to retry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// Whether the first retry of an outage comes at once.
    pub first_at_once: bool,
    /// The waits of the other retries.
    pub delays: Delays,
    /// No wait is longer.
    pub cap: Duration,
}

/// The waits between attempts, before the cap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delays {
    /// Always the same.
    Fixed(Duration),
    /// One after the other; the last one repeats. An empty list does not wait.
    Listed(Arc<[Duration]>),
    /// Full jitter: anything from nothing to `base * factor^retry`, evenly, so that many who lost
    /// the same peer do not come back at the same moment.
    Exponential {
        /// The bound of the first wait.
        base: Duration,
        /// By how much the bound grows from wait to wait.
        factor: u32,
    },
    /// The user's own.
    Custom(Custom),
}

/// A user's own rule.
#[derive(Clone, Copy, Debug)]
pub struct Custom {
    /// From the number of the wait in this outage, from 0, and a random number, to the wait.
    pub delay: fn(u32, u64) -> Duration,
}

impl Backoff {
    /// Waits up to `base`, doubling, with full jitter, up to `cap`; the first retry at once.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self { first_at_once: true, delays: Delays::Exponential { base, factor: 2 }, cap }
    }

    /// Always waits `delay`, the first retry excepted, which comes at once.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self { first_at_once: true, delays: Delays::Fixed(delay), cap: Duration::MAX }
    }

    /// Waits as listed; the last wait repeats. The first retry comes at once, before the list.
    #[must_use]
    pub fn listed(delays: impl Into<Arc<[Duration]>>) -> Self {
        let delays = Delays::Listed(delays.into());
        Self { first_at_once: true, delays, cap: Duration::MAX }
    }

    /// Waits as `delay` says, given the number of the wait and a random number.
    #[must_use]
    pub const fn custom(delay: fn(u32, u64) -> Duration) -> Self {
        let delays = Delays::Custom(Custom { delay });
        Self { first_at_once: true, delays, cap: Duration::MAX }
    }

    /// The first retry waits like the others.
    #[must_use]
    pub fn wait_first(mut self) -> Self {
        self.first_at_once = false;
        self
    }

    /// No wait is longer than `cap`.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The wait before retry number `retry` of an outage, from 0; `random` is any number.
    #[must_use]
    pub fn delay(&self, retry: u32, random: u64) -> Duration {
        if self.first_at_once && retry == 0 {
            return Duration::ZERO;
        }
        let wait = retry.saturating_sub(u32::from(self.first_at_once));
        let delay = match &self.delays {
            Delays::Fixed(delay) => *delay,
            Delays::Listed(list) => {
                let at = usize::try_from(wait).unwrap_or(usize::MAX);
                list.get(at).or(list.last()).copied().unwrap_or_default()
            }
            Delays::Exponential { base, factor } => {
                return share(grown(*base, *factor, wait).min(self.cap), random);
            }
            Delays::Custom(custom) => (custom.delay)(wait, random),
        };
        delay.min(self.cap)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.delay, other.delay)
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.delay.hash(state);
    }
}

/// `base * factor^times`, saturating.
pub(super) fn grown(base: Duration, factor: u32, times: u32) -> Duration {
    let factor = factor.checked_pow(times).unwrap_or(u32::MAX);
    base.checked_mul(factor).unwrap_or(Duration::MAX)
}

/// The part of `whole` that `random` picks, evenly from nothing to all.
pub(super) fn share(whole: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let picked = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(picked).unwrap_or(nanos))
}

/// Evenly spread numbers from a seed and a counter (splitmix64), so that a machine needs no
/// source of randomness and replays alike.
pub(crate) const fn random(seed: u64, counter: u64) -> u64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
