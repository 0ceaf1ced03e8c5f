//! What a machine is written as.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use super::{Error, Label, Outcome, Overdue, Scope, Signal, Table, Transition};

/// What a machine does in its states. The value itself is the machine's data.
pub trait Behaviour: Clone + Eq + Hash + Debug + Sized + 'static {
    /// The states.
    type State: Label;
    /// The kinds of events.
    type Kind: Label;
    /// The events.
    type Event: Signal<Kind = Self::Kind>;
    /// What comes out, to be done by whoever drives the machine.
    type Action: Clone + Eq + Hash + Debug;
    /// The data of one stay in a state: made when it is entered, gone when it is left.
    type Local: Default + Clone + Eq + Hash + Debug;
    /// The error of a state that fails; [`Infallible`](std::convert::Infallible) where none does.
    type Fault: std::error::Error + Clone + Eq + Hash + 'static;

    /// What the machine is called.
    const NAME: &'static str;
    /// What is legal.
    const TABLE: Table<Self>;
    /// How many events may wait.
    const QUEUE: usize = 16;
    /// How often one event may be reprocessed.
    const REPROCESS: u32 = 4;
    /// How many events one call may handle, those that states raise included.
    const RUN: usize = 64;
    /// From how many actions on, which nobody fetched, the machine takes no further event.
    const ACTIONS: usize = 64;
    /// How many transitions are kept for [`Machine::poll_transition`](super::Machine::poll_transition); the oldest are dropped.
    const TRANSITIONS: usize = 64;

    /// Handles an event that the table allows in `state`.
    ///
    /// # Errors
    /// The state failed. The machine goes to the fallback, or stops with this error.
    fn handle(
        &mut self,
        state: Self::State,
        event: &Self::Event,
        scope: &mut Scope<'_, Self>,
    ) -> Result<Outcome<Self::State>, Self::Fault>;

    /// Handles the passing of a deadline. By itself, it takes the state to be broken.
    ///
    /// # Errors
    /// The state failed. The machine goes to the fallback, or stops with this error.
    fn overdue(
        &mut self,
        state: Self::State,
        what: Overdue<Self::Kind>,
        scope: &mut Scope<'_, Self>,
    ) -> Result<Outcome<Self::State>, Self::Fault> {
        let _ = (state, what);
        scope.fall_back();
        Ok(Outcome::Complete)
    }

    /// How long `state` may last from now; by itself, what the table says.
    fn deadline(&self, state: Self::State) -> Option<Duration> {
        Self::TABLE.node(state).and_then(|node| node.deadline)
    }

    /// The machine has entered `state`. Context and local data are new; actions and events may be
    /// put out, and the deadline changed.
    fn enter(&mut self, state: Self::State, scope: &mut Scope<'_, Self>) {
        let _ = (state, scope);
    }

    /// The machine is about to leave `state`. Context and local data are still there.
    fn exit(&mut self, state: Self::State, scope: &mut Scope<'_, Self>) {
        let _ = (state, scope);
    }
}

/// The error type of the machine that runs `B`.
pub type ErrorOf<B> =
    Error<<B as Behaviour>::State, <B as Behaviour>::Kind, <B as Behaviour>::Fault>;

/// The transitions of the machine that runs `B`.
pub type TransitionOf<B> = Transition<<B as Behaviour>::State, <B as Behaviour>::Kind>;
