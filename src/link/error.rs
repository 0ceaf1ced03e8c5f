//! What goes wrong with links.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handle::{Disconnected, Link};
use super::service::{Failure, Service};
use crate::fsm::supervisor::{End, Refusal, Retry, State};

/// Why an attempt failed, or a session was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault<E: Error + 'static> {
    /// The service says so.
    #[error(transparent)]
    Service(E),
    /// A probe was not answered; see [`Pulse::lost_after`](super::Pulse::lost_after).
    #[error("a probe was not answered within {after:?}")]
    Silent {
        /// For how long the answer was waited for.
        after: Duration,
    },
    /// The attempt, or the recovery, took longer than the policy allows.
    #[error("it took longer than the policy allows")]
    TimedOut,
    /// The link's task has stopped: its runtime was shut down, or the service panicked.
    #[error("the task of the link has stopped: its runtime was shut down, or its service panicked")]
    Stopped,
    /// `connect` was polled outside of a tokio runtime.
    #[error("connecting takes a tokio runtime, and there is none here")]
    NoRuntime,
    /// The machine did not take the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl<E: Failure> Fault<E> {
    /// Whether another attempt can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Service(error) => error.retry(),
            Self::Silent { .. } | Self::TimedOut => Retry::Can,
            Self::Stopped | Self::NoRuntime | Self::Refused(_) => Retry::Never,
        }
    }
}

/// How a link ended, and why. Its [`source`](Error::source) is the [`Fault`].
#[derive(Debug)]
pub struct Ended<E: Error + 'static> {
    /// How the machine calls it.
    pub end: End,
    /// The last fault; none if this program closed the link.
    pub fault: Option<Arc<Fault<E>>>,
}

impl<E: Error + 'static> Clone for Ended<E> {
    fn clone(&self) -> Self {
        Self { end: self.end, fault: self.fault.clone() }
    }
}

impl<E: Error + 'static> fmt::Display for Ended<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            End::ByUs { clean: true } => f.write_str("the link was closed by this program"),
            End::ByUs { clean: false } => {
                f.write_str("the link was closed before all that was under way was finished")
            }
            End::FirstAttempt { .. } => f.write_str("the first attempt to connect failed"),
            End::Lost { .. } => f.write_str("the link was lost, and is not to be dialled again"),
            End::Fatal { .. } => f.write_str("the link failed in a way that no retry can mend"),
            End::Exhausted { attempts, .. } => {
                write!(f, "the link was given up after {attempts} failed attempts in a row")
            }
        }
    }
}

impl<E: Error + 'static> Error for Ended<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.as_deref().map(|fault| fault as _)
    }
}

/// [`connect`](Link::connect) failed: why, and the link, to try again with.
pub struct Failed<T: Service> {
    ended: Ended<T::Error>,
    link: Link<Disconnected, T>,
}

impl<T: Service> Failed<T> {
    pub(super) fn new(ended: Ended<T::Error>, link: Link<Disconnected, T>) -> Self {
        Self { ended, link }
    }

    /// Why it failed.
    pub fn ended(&self) -> &Ended<T::Error> {
        &self.ended
    }

    /// The last fault.
    pub fn fault(&self) -> Option<&Fault<T::Error>> {
        self.ended.fault.as_deref()
    }

    /// The link, to try again with.
    pub fn into_link(self) -> Link<Disconnected, T> {
        self.link
    }

    /// Why it failed, and the link, to try again with.
    pub fn into_parts(self) -> (Ended<T::Error>, Link<Disconnected, T>) {
        (self.ended, self.link)
    }
}

impl<T: Service> fmt::Debug for Failed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed").field("ended", &self.ended).field("link", &self.link).finish()
    }
}

impl<T: Service> fmt::Display for Failed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ended.fmt(f)
    }
}

impl<T: Service> Error for Failed<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.ended.source()
    }
}

impl<T: Service> From<Failed<T>> for Ended<T::Error> {
    fn from(failed: Failed<T>) -> Self {
        failed.ended
    }
}

/// Why there is no session to be had right now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable<E: Error + 'static> {
    /// The link is down, and is being dialled or restored.
    #[error("the link is down ({state})")]
    Down {
        /// The machine's state.
        state: State,
        /// When the next attempt begins; none while one is under way.
        next_attempt: Option<Instant>,
        /// Why it went down.
        #[source]
        fault: Option<Arc<Fault<E>>>,
    },
    /// The breaker is open: the peer is left alone for a while.
    #[error("the circuit breaker is open, for {:.1?} yet", next_probe.saturating_duration_since(Instant::now()))]
    CircuitOpen {
        /// When it lets one attempt through.
        next_probe: Instant,
        /// The last failure.
        #[source]
        fault: Option<Arc<Fault<E>>>,
    },
    /// The link is being closed by this program.
    #[error("the link is being closed")]
    Closing,
    /// The link has ended.
    #[error(transparent)]
    Ended(Ended<E>),
    /// It was not up within the time that was given; see [`Ready::within`](super::Ready::within).
    #[error("the link was not up within {after:?} ({state})")]
    TimedOut {
        /// That time.
        after: Duration,
        /// The machine's state when it was over.
        state: State,
    },
}
