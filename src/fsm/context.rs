//! What is known about the state that a machine is in, for exactly as long as it is in it.

use super::{Label, On, Time, Transition};

/// The context of the current state. It begins when the state is entered, anew also when a state
/// is reset to itself, and ends when the state is left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context<S: Label, K: Label> {
    pub(super) entered_at: Time,
    pub(super) entered_by: Option<Transition<S, K>>,
    pub(super) last: Option<On<K>>,
    pub(super) pending: Option<On<K>>,
    pub(super) deadline: Option<Time>,
    pub(super) answer_due: Option<Time>,
}

impl<S: Label, K: Label> Context<S, K> {
    pub(super) const fn new(at: Time, by: Option<Transition<S, K>>) -> Self {
        Self {
            entered_at: at,
            entered_by: by,
            last: None,
            pending: None,
            deadline: None,
            answer_due: None,
        }
    }

    /// When the state was entered.
    #[must_use]
    pub const fn entered_at(&self) -> Time {
        self.entered_at
    }

    /// The transition that led here; none in a machine's first state.
    #[must_use]
    pub const fn entered_by(&self) -> Option<&Transition<S, K>> {
        self.entered_by.as_ref()
    }

    /// The state before this one.
    #[must_use]
    pub fn previous(&self) -> Option<S> {
        self.entered_by.as_ref().map(|by| by.from)
    }

    /// What this state handled last, before what it handles now.
    #[must_use]
    pub const fn last(&self) -> Option<On<K>> {
        self.last
    }

    /// What an answer is outstanding to, if one is.
    #[must_use]
    pub const fn pending(&self) -> Option<On<K>> {
        self.pending
    }

    /// Until when the state may last, if that is bounded.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// By when the outstanding answer is due, if that is bounded.
    #[must_use]
    pub const fn answer_due(&self) -> Option<Time> {
        self.answer_due
    }

    /// The next point in time at which the state has to be asked.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match (self.deadline, self.answer_due) {
            (Some(state), Some(answer)) => Some(state.min(answer)),
            (state, answer) => state.or(answer),
        }
    }
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overdue<K> {
    /// The state has lasted as long as it may.
    State,
    /// The answer to this has not come.
    Answer(On<K>),
}
