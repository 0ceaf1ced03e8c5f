//! Keeps one link alive: dials, retries, recovers, closes. It knows nothing of what the link
//! speaks.
//!
//! ```text
//! Disconnected --connect--> Connecting --opened--> Connected
//! Connecting   --failed---> Reconnecting, or Disconnected again: back to the caller
//! Connected    --degrade--> Degraded --clear--> Connected
//! Connected, Degraded --lost--> Reconnecting --opened--> Recovering --recovered--> Connected, Degraded
//! Reconnecting --too many failures in a row--> CircuitOpen --cool-down over--> Reconnecting (one probe)
//! Reconnecting --exhausted, or a failure no retry can mend--> Closed
//! any          --close--> Closing --closed, lost or deadline--> Closed --reset--> Disconnected
//! ```
//!
//! The same as it is in the table, with every step there is:
//!
#![doc = include_str!("diagram.svg")]
//!
//! At most one attempt is under way: an attempt is the local data of a state, it is aborted when
//! the state is left, and its answer carries its number, so that a late one is known and ignored.

mod backoff;
mod keeper;
mod policy;
mod stats;
mod table;
mod vocabulary;

use std::time::Duration;

pub(crate) use backoff::random;
pub use backoff::{Backoff, Custom, Delays};
pub use keeper::{Keeper, Phase};
pub use policy::{Breaker, Policy, Reasons, Resume};
pub use stats::Stats;
pub use vocabulary::{Action, End, Event, Kind, Retry, State};

use super::{Error, Machine, Observer, Reaction, Time};

/// A transition of a [`Supervisor`].
pub type Transition = super::Transition<State, Kind>;

/// Hooks for a [`Supervisor`].
pub type Hooks = super::Hooks<State, Kind>;

/// Supervises one link: plain data, to be driven by whoever owns the clock and the socket.
///
/// After each call, fetch the actions and do them; answer a [`Action::Dial`] with
/// [`Event::Opened`] or [`Event::Failed`], a [`Action::Recover`] with [`Event::Recovered`],
/// a [`Action::Drain`] with [`Event::Drained`], a [`Action::Close`] with [`Event::Closed`].
///
/// ```
/// use hopmq::fsm::supervisor::{Action, Event, Policy, State};
/// use hopmq::fsm::{Supervisor, Time};
///
/// let mut link = Supervisor::new(Policy::default(), 7);
/// link.handle(Time::ZERO, Event::Connect)?;
/// let Some(Action::Dial { attempt, .. }) = link.poll_action() else { unreachable!() };
/// link.handle(Time::from_millis(3), Event::Opened { attempt })?;
/// assert_eq!(link.state(), State::Connected);
/// # Ok::<(), hopmq::fsm::supervisor::Refusal>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Supervisor {
    machine: Machine<Keeper>,
}

impl Supervisor {
    /// A supervisor that is disconnected, at time zero. The seed decides all its random waits.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self::new_at(Time::ZERO, policy, seed)
    }

    /// A supervisor that is disconnected from `now` on.
    #[must_use]
    pub fn new_at(now: Time, policy: Policy, seed: u64) -> Self {
        Self { machine: Machine::new(now, Keeper::new(policy, seed)) }
    }

    /// Takes what happened, or what is asked for.
    ///
    /// # Errors
    /// It is not legal in this state; nothing has changed.
    pub fn handle(&mut self, now: Time, event: Event) -> Result<Reaction, Refusal> {
        self.handle_with(now, event, &mut ())
    }

    /// As [`handle`](Self::handle), watched from within, as by [`Hooks`].
    ///
    /// # Errors
    /// As of [`handle`](Self::handle).
    pub fn handle_with<O: Observer<Keeper> + ?Sized>(
        &mut self,
        now: Time,
        event: Event,
        observer: &mut O,
    ) -> Result<Reaction, Refusal> {
        let result = self.machine.handle_with(now, event, observer);
        result.map_err(|error| self.refusal(error))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.machine.poll_timeout()
    }

    /// Does what is due by `now`: dials again, probes, or gives up waiting. Call it until
    /// [`poll_timeout`](Self::poll_timeout) is later than now.
    ///
    /// # Errors
    /// Actions were not fetched; nothing has changed.
    pub fn handle_timeout(&mut self, now: Time) -> Result<Reaction, Refusal> {
        self.handle_timeout_with(now, &mut ())
    }

    /// As [`handle_timeout`](Self::handle_timeout), watched from within, as by [`Hooks`].
    ///
    /// # Errors
    /// As of [`handle_timeout`](Self::handle_timeout).
    pub fn handle_timeout_with<O: Observer<Keeper> + ?Sized>(
        &mut self,
        now: Time,
        observer: &mut O,
    ) -> Result<Reaction, Refusal> {
        let result = self.machine.handle_timeout_with(now, observer);
        result.map_err(|error| self.refusal(error))
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.machine.poll_action()
    }

    /// The next transition that was not fetched yet.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.machine.poll_transition()
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// Whether `Connect` would be taken: nothing is up, under way, or waiting to be tried again.
    #[must_use]
    pub fn can_attempt_connection(&self) -> bool {
        self.machine.accepts(Kind::Connect)
    }

    /// When the open breaker lets the next attempt through; none while it is not open.
    #[must_use]
    pub fn next_probe(&self) -> Option<Time> {
        match self.state() {
            State::CircuitOpen => self.machine.poll_timeout(),
            _ => None,
        }
    }

    /// Whether the breaker is open, or half open: it has opened, and the link is not back since.
    #[must_use]
    pub fn is_circuit_open(&self) -> bool {
        self.machine.behaviour().is_circuit_open()
    }

    /// When the next attempt begins, if the supervisor waits for one.
    #[must_use]
    pub fn next_attempt(&self) -> Option<Time> {
        match (self.state(), self.machine.local()) {
            (State::CircuitOpen, _) | (State::Reconnecting, Phase::Waiting) => self.poll_timeout(),
            _ => None,
        }
    }

    /// The attempt under way, if one is.
    #[must_use]
    pub fn attempt(&self) -> Option<u64> {
        self.machine.local().attempt()
    }

    /// Why the link is degraded, or will be when it is back.
    #[must_use]
    pub fn reasons(&self) -> Reasons {
        self.machine.behaviour().reasons()
    }

    /// How the last life of the link ended, until it is dialled anew.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.machine.behaviour().end()
    }

    /// The settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.machine.behaviour().policy()
    }

    /// What the supervisor has counted up to `now`.
    #[must_use]
    pub fn stats(&self, now: Time) -> Stats {
        Stats::of(&self.machine, now)
    }

    /// For how long the supervisor has been in its state.
    #[must_use]
    pub fn time_in_state(&self, now: Time) -> Duration {
        now.saturating_since(self.machine.context().entered_at())
    }

    /// The machine beneath, for its context, table and diagrams.
    #[must_use]
    pub fn machine(&self) -> &Machine<Keeper> {
        &self.machine
    }

    fn refusal(&self, error: super::ErrorOf<Keeper>) -> Refusal {
        match (error, self.next_probe()) {
            (Error::Refused(refused), Some(next_probe)) if refused.event == Kind::Connect => {
                Refusal::CircuitOpen { next_probe }
            }
            (Error::Refused(refused), _) => Refusal::Illegal(refused),
            (error, _) => Refusal::Machine(error),
        }
    }
}

/// Why a [`Supervisor`] did not take an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It is not legal in this state.
    #[error(transparent)]
    Illegal(super::Refusal<State, Kind>),
    /// The breaker is open.
    #[error("the circuit breaker is open; the next attempt is at {next_probe}")]
    CircuitOpen {
        /// When it lets the next attempt through.
        next_probe: Time,
    },
    /// The supervisor was not driven as it must be: its actions were not fetched.
    #[error(transparent)]
    Machine(super::ErrorOf<Keeper>),
}
