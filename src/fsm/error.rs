//! What can go wrong in a machine, and whose fault it is.

use super::{Label, On, Outcome};

/// An event that is not legal in the state it came to. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("`{}` is not legal in state {}{}", event.name(), state.name(), Unless(*guard))]
pub struct Refusal<S: Label, K: Label> {
    /// The state the machine was, and is, in.
    pub state: S,
    /// What was refused.
    pub event: K,
    /// The condition that did not hold, where the table knows the event under a condition only.
    pub guard: Option<&'static str>,
}

/// Why a machine did not do what it was asked.
///
/// [`Refused`](Self::Refused), [`Undrained`](Self::Undrained), [`QueueFull`](Self::QueueFull) and
/// [`Halted`](Self::Halted) blame the caller; the others blame the machine's own behaviour.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error<S: Label, K: Label, F: std::error::Error + 'static> {
    /// The event is not legal in this state.
    #[error(transparent)]
    Refused(#[from] Refusal<S, K>),
    /// Actions were not fetched; a machine does not let them grow without bound. Nothing changed.
    #[error("{count} actions wait to be fetched before state {} handles an event", state.name())]
    Undrained {
        /// The state the machine is in.
        state: S,
        /// How many actions wait.
        count: usize,
    },
    /// The queue of events is full; the event was not taken.
    #[error("the queue of {limit} events is full: `{}` was not taken", event.name())]
    QueueFull {
        /// The event that found no place.
        event: K,
        /// How many events the queue holds.
        limit: usize,
    },
    /// The machine has ended, or has stopped on an error, and takes no event.
    #[error("the machine has stopped in state {}", state.name())]
    Halted {
        /// The state in which it stopped.
        state: S,
    },
    /// The state answered with an outcome that the table does not allow. The outcome is refused
    /// and the machine stays where it was.
    #[error("state {} answered {} with {outcome:?}, which its table does not allow", state.name(), on.name())]
    Forbidden {
        /// The state that answered.
        state: S,
        /// What it answered to.
        on: On<K>,
        /// What it answered.
        outcome: Outcome<S>,
    },
    /// One event was handed on from state to state too often. The machine stays where that ended.
    #[error("`{}` was reprocessed {limit} times and is still not done, in state {}", event.name(), state.name())]
    ReprocessedTooOften {
        /// The state that asked once more.
        state: S,
        /// The event.
        event: K,
        /// How often it may be reprocessed.
        limit: u32,
    },
    /// States kept raising events; what is left stays queued.
    #[error("{limit} events in a row came from one, and more are queued")]
    Runaway {
        /// How many events one call handles.
        limit: usize,
    },
    /// A deadline passed, the state does not handle it, and there is no fallback. The machine has stopped.
    #[error("state {} is broken or overdue and has no fallback", state.name())]
    NoFallback {
        /// The state.
        state: S,
    },
    /// A state failed and there is no fallback. The machine has stopped.
    #[error("state {} failed", state.name())]
    Fault {
        /// The state that failed.
        state: S,
        /// Its error.
        #[source]
        fault: F,
    },
}

/// Prints the condition of a refusal.
struct Unless(Option<&'static str>);

impl std::fmt::Display for Unless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(guard) => write!(f, " unless {guard}"),
            None => Ok(()),
        }
    }
}
