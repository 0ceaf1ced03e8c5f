//! The run-time machine of a connection, made visible: its state, and every change of it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;

use crate::{
    consumer::Next,
    driver::Shared,
    error::Error,
    fsm::supervisor::{Stats, Transition},
    proto::{Change, NotRecovered, WaiterId},
};

pub use crate::fsm::supervisor::State as ConnectionState;

/// One change of a connection's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The state before.
    pub from: ConnectionState,
    /// The state after.
    pub to: ConnectionState,
    /// What led from one to the other, e.g. `lost`.
    pub event: &'static str,
    /// How long after the connection was made this was.
    pub at: Duration,
    /// Why, where something failed.
    pub cause: Option<Error>,
}

impl StateChange {
    fn new(change: &Change, shared: &Shared) -> Self {
        let Transition { from, to, at, .. } = change.transition;
        let cause = change.cause.as_deref();
        StateChange {
            from,
            to,
            event: change.transition.event(),
            at: at.saturating_since(crate::fsm::Time::ZERO),
            cause: cause.map(|cause| Error::from_cause(cause, shared.last_error())),
        }
    }
}

impl fmt::Display for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.from, self.to, self.event)?;
        match &self.cause {
            Some(cause) => {
                write!(f, ": {cause}")?;
                let mut source = std::error::Error::source(cause);
                while let Some(deeper) = source {
                    write!(f, ": {deeper}")?;
                    source = deeper.source();
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The changes of a connection's state as a stream, from its first dialling on; it ends after the
/// connection has. The last 256 are kept for whoever begins or reads late; nothing waits for it.
///
/// It does not keep the connection alive.
#[must_use = "streams do nothing unless polled"]
pub struct StateChanges {
    shared: Arc<Shared>,
    cursor: u64,
    waiter: Option<WaiterId>,
}

impl StateChanges {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        StateChanges { shared, cursor: 0, waiter: None }
    }

    /// The next change; `None` after the end. Dropping the future loses nothing.
    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }
}

impl Drop for StateChanges {
    fn drop(&mut self) {
        self.shared.forget(self.waiter);
    }
}

impl Stream for StateChanges {
    type Item = StateChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StateChange>> {
        let StateChanges { shared, cursor, waiter } = &mut *self;
        let polled = shared.poll_change(cursor, waiter, cx);
        polled.map(|change| change.map(|change| StateChange::new(&change, shared)))
    }
}

impl fmt::Debug for StateChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateChanges").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// What a connection has counted since it was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// The current state.
    pub state: ConnectionState,
    /// For how long it has been in it.
    pub in_state: Duration,
    /// What the machine has counted: transitions, attempts, failures, recoveries, time per state.
    pub machine: Stats,
    /// Messages that were published again after a lost connection
    /// ([`Publish::at_least_once`](crate::Publish::at_least_once)).
    pub replayed: u64,
    /// Publishes that the broker has not answered yet.
    pub unconfirmed: usize,
    /// Entities that could not be declared again in the last recovery, with the broker's answer.
    pub not_recovered: Vec<NotRecovered>,
    /// The last failure.
    pub last_error: Option<Error>,
}

impl ConnectionStats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let now = shared.now();
        let last_error = shared.last_error();
        shared.look(|connection| ConnectionStats {
            state: connection.supervisor().state(),
            in_state: connection.supervisor().time_in_state(now),
            machine: connection.supervisor().stats(now),
            replayed: connection.replayed(),
            unconfirmed: connection.unconfirmed(),
            not_recovered: connection.not_recovered().to_vec(),
            last_error: connection
                .last_cause()
                .map(|cause| Error::from_cause(cause, last_error.clone())),
        })
    }
}
