//! What a supervisor is to do: settings.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::time::Duration;

use super::backoff::{Backoff, grown, share};

/// How a supervisor keeps its link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Whether the first attempt is retried too; otherwise its failure goes back to the caller.
    pub first_connect_retries: bool,
    /// Whether a lost link is dialled again; otherwise losing it is the end.
    pub reconnect: bool,
    /// Whether a link that is back goes through `Recovering` before it counts as connected.
    pub recover: bool,
    /// Where to go after recovery.
    pub resume: Resume,
    /// The reasons for being degraded that outlive the link; the others end with it.
    pub lasting: Reasons,
    /// When to retry.
    pub backoff: Backoff,
    /// When to stop trying for a while.
    pub breaker: Option<Breaker>,
    /// After how many failed attempts of one outage to give up.
    pub max_attempts: Option<u32>,
    /// For how long of one outage to go on trying.
    pub max_time: Option<Duration>,
    /// How long one attempt may take.
    pub connect_timeout: Option<Duration>,
    /// How long recovery may take before the link counts as lost.
    pub recover_timeout: Option<Duration>,
    /// How long closing may wait for what is under way.
    pub drain_timeout: Duration,
    /// How long the closing handshake may take after that.
    pub close_timeout: Duration,
    /// A link that is lost sooner than this after it came up counts as one more failure of the
    /// same outage, so that a peer that accepts and drops is not dialled in a tight circle.
    pub steady_after: Duration,
}

impl Default for Policy {
    /// Whoever lost its peer is back within ten seconds of it, however long the peer was away: no
    /// wait is longer than 5 s, and no breaker stays open for longer than 8.4 s, jitter included. A
    /// thousand who lost it together do not come at one moment either: the waits are drawn evenly
    /// from nothing to 5 s, so that about 5 % of them knock in the busiest tenth of a second, which a
    /// RabbitMQ node takes while it starts. Longer waits would spare the peer little, and cost its
    /// users as long.
    fn default() -> Self {
        Self {
            first_connect_retries: false,
            reconnect: true,
            recover: true,
            resume: Resume::StateLeft,
            lasting: Reasons::MISSED | Reasons::ALL_OWN,
            backoff: Backoff::exponential(Duration::from_millis(200), Duration::from_secs(5)),
            breaker: Some(Breaker::default()),
            max_attempts: None,
            max_time: None,
            connect_timeout: Some(Duration::from_secs(30)),
            recover_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            steady_after: Duration::from_secs(1),
        }
    }
}

/// Where to go when the link has recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resume {
    /// To the state that the loss interrupted: degraded if a reason for it outlived the link or
    /// came up in recovery, else connected.
    #[default]
    StateLeft,
    /// To connected, all earlier reasons forgotten; degraded only if recovery brought one up.
    Connected,
    /// To degraded for these reasons, until they are cleared: for callers who must first see to
    /// what they missed.
    Degraded(Reasons),
}

/// The circuit breaker: after too many failures in a row, leave the peer alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Breaker {
    /// How many failures in a row open it. 0 counts as 1.
    pub threshold: u32,
    /// How long it stays open the first time.
    pub cool_down: Duration,
    /// By how much that grows each time the probe fails.
    pub growth: u32,
    /// It never stays open for longer, jitter aside.
    pub cap: Duration,
    /// Up to how many hundredths of the cool-down are added at random, so that many breakers that
    /// opened together do not probe together.
    pub jitter_percent: u8,
}

impl Default for Breaker {
    /// It opens after ten failures, for 5 to 6 s at first, and for 7 to 8.4 s from then on; see
    /// [`Policy::default`] for why not longer.
    fn default() -> Self {
        Self {
            threshold: 10,
            cool_down: Duration::from_secs(5),
            growth: 2,
            cap: Duration::from_secs(7),
            jitter_percent: 20,
        }
    }
}

impl Breaker {
    /// How long it stays open the `trip`th time in a row, from 0; `random` is any number.
    #[must_use]
    pub fn cool_down(&self, trip: u32, random: u64) -> Duration {
        let wait = grown(self.cool_down, self.growth, trip).min(self.cap.max(self.cool_down));
        let most = wait.checked_mul(u32::from(self.jitter_percent)).unwrap_or(Duration::MAX) / 100;
        wait.saturating_add(share(most, random))
    }
}

/// A set of reasons for being degraded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reasons(u32);

impl Reasons {
    /// No reason.
    pub const NONE: Self = Self(0);
    /// The peer asked us to hold back.
    pub const BLOCKED: Self = Self(1);
    /// Signs of life are late.
    pub const LATE: Self = Self(1 << 1);
    /// Something was not recovered.
    pub const PARTIAL: Self = Self(1 << 2);
    /// Events may have been missed, and the caller has not seen to it yet.
    pub const MISSED: Self = Self(1 << 3);
    /// All of a user's own reasons.
    pub const ALL_OWN: Self = Self(0xffff_0000);

    /// A user's own reason; 16 of them are told apart (`number` counts modulo 16).
    #[must_use]
    pub const fn own(number: u8) -> Self {
        Self(1 << (16 + (number % 16)))
    }

    /// Whether there is no reason.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is among these.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Reasons {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Reasons {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Reasons {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (Self::BLOCKED, "blocked"),
            (Self::LATE, "late"),
            (Self::PARTIAL, "partial"),
            (Self::MISSED, "missed"),
        ];
        let mut between = "";
        for (_, name) in named.into_iter().filter(|(reason, _)| self.contains(*reason)) {
            write!(f, "{between}{name}")?;
            between = ", ";
        }
        for number in (0..16).filter(|number| self.contains(Self::own(*number))) {
            write!(f, "{between}own {number}")?;
            between = ", ";
        }
        match between {
            "" => f.write_str("none"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reasons({self})")
    }
}
