//! The words of the supervisor: states, events, actions, ends.

use super::policy::Reasons;
use crate::fsm::{CauseId, Signal, labels};

labels! {
    /// The states of a link.
    pub enum State {
        /// Nothing is up, and nothing is tried.
        Disconnected = "Disconnected",
        /// The first attempt is under way.
        Connecting = "Connecting",
        /// The link is up and well.
        Connected = "Connected",
        /// The link is up, with a reservation.
        Degraded = "Degraded",
        /// An attempt is under way, or waits for its time.
        Reconnecting = "Reconnecting",
        /// The link is up again; what was on it is being restored.
        Recovering = "Recovering",
        /// Too many attempts failed; the peer is left alone for a while.
        CircuitOpen = "CircuitOpen",
        /// What is under way is being finished, then the link is closed.
        Closing = "Closing",
        /// The link has ended, for the reason that [`Supervisor::end`](super::Supervisor::end) tells.
        Closed = "Closed",
    }
}

labels! {
    /// The kinds of [`Event`].
    pub enum Kind {
        /// [`Event::Connect`]
        Connect = "connect",
        /// [`Event::Opened`]
        Opened = "opened",
        /// [`Event::Failed`]
        Failed = "failed",
        /// [`Event::Degrade`]
        Degrade = "degrade",
        /// [`Event::Clear`]
        Clear = "clear",
        /// [`Event::Lost`]
        Lost = "lost",
        /// [`Event::Recovered`]
        Recovered = "recovered",
        /// [`Event::Close`]
        Close = "close",
        /// [`Event::Drained`]
        Drained = "drained",
        /// [`Event::Closed`]
        Closed = "closed",
        /// [`Event::Reset`]
        Reset = "reset",
    }
}

/// What happened to a link, or what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Asked: bring the link up.
    Connect,
    /// The attempt has succeeded.
    Opened {
        /// The number in [`Action::Dial`].
        attempt: u64,
    },
    /// The attempt has failed.
    Failed {
        /// The number in [`Action::Dial`].
        attempt: u64,
        /// Whether another attempt can help.
        retry: Retry,
        /// Under which number the driver keeps the error.
        cause: CauseId,
    },
    /// The link works with reservations, for these reasons.
    Degrade(Reasons),
    /// These reasons are gone.
    Clear(Reasons),
    /// The link is gone.
    Lost {
        /// Whether another attempt can help.
        retry: Retry,
        /// Under which number the driver keeps the error.
        cause: CauseId,
    },
    /// What was on the link is restored; what could not be was told by [`Event::Degrade`] before.
    Recovered,
    /// Asked: end the link in order.
    Close,
    /// Nothing is under way any more.
    Drained,
    /// The link has been closed in order.
    Closed,
    /// Asked: make an ended link one that can be dialled again.
    Reset,
}

impl Signal for Event {
    type Kind = Kind;

    fn kind(&self) -> Kind {
        match self {
            Self::Connect => Kind::Connect,
            Self::Opened { .. } => Kind::Opened,
            Self::Failed { .. } => Kind::Failed,
            Self::Degrade(_) => Kind::Degrade,
            Self::Clear(_) => Kind::Clear,
            Self::Lost { .. } => Kind::Lost,
            Self::Recovered => Kind::Recovered,
            Self::Close => Kind::Close,
            Self::Drained => Kind::Drained,
            Self::Closed => Kind::Closed,
            Self::Reset => Kind::Reset,
        }
    }

    fn cause(&self) -> CauseId {
        match self {
            Self::Failed { cause, .. } | Self::Lost { cause, .. } => *cause,
            _ => CauseId::NONE,
        }
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It can: the peer was not there, too busy, or cut us off.
    Can,
    /// It cannot: the peer does not want us, or we were told wrong.
    Never,
}

/// What a driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Begin an attempt, and answer with its number. None other is under way.
    Dial {
        /// The attempt's number; never used twice.
        attempt: u64,
        /// Whether it is the one probe of a half-open breaker.
        probe: bool,
    },
    /// Stop the attempt; an answer that comes late is ignored, the link it may bring must be dropped.
    AbortDial {
        /// The attempt's number.
        attempt: u64,
    },
    /// Restore what was on the link.
    Recover,
    /// Take nothing new, finish what is under way, and say when it is.
    Drain,
    /// Close the link in order, and say when it is.
    Close,
    /// Drop the link as it is.
    Drop,
    /// No attempt follows by itself: tell whoever waits.
    GiveUp(End),
}

/// Why there is no link and none will come by itself.
///
/// A cause of [`CauseId::NONE`] means that a deadline of the supervisor passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It was closed by us.
    ByUs {
        /// Whether all that was under way was finished.
        clean: bool,
    },
    /// The first attempt failed, and the policy leaves it to the caller to try again.
    FirstAttempt {
        /// Whether another attempt can help.
        retry: Retry,
        /// The error.
        cause: CauseId,
    },
    /// It was lost, and the policy does not reconnect.
    Lost {
        /// The error.
        cause: CauseId,
    },
    /// It failed in a way that no retry can mend.
    Fatal {
        /// The error.
        cause: CauseId,
    },
    /// The attempts, or the time for them, are used up.
    Exhausted {
        /// How many attempts were made.
        attempts: u32,
        /// The last error.
        cause: CauseId,
    },
}
