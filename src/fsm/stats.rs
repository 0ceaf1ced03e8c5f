//! What a machine counts.

use std::time::Duration;

use super::Label;

/// Counts and times of a machine since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stats<S: Label> {
    /// Transitions, those of a state to itself included.
    pub transitions: u64,
    /// Events handled, those without effect included.
    pub events: u64,
    /// Events that were legal and without effect.
    pub ignored: u64,
    /// Events that were refused.
    pub refused: u64,
    /// Deadlines that passed.
    pub deadlines: u64,
    /// Failures of states, whether a fallback caught them or not.
    pub faults: u64,
    /// Transitions that nobody fetched before they were dropped.
    pub unobserved: u64,
    /// Up to the last state that was entered: most machines never come to most of theirs.
    per_state: Vec<Row>,
    pub(super) marker: std::marker::PhantomData<S>,
}

/// As [`InState`], smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Row {
    entered: u64,
    /// 584 years fit.
    nanos: u64,
}

/// How often and how long a machine was in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InState {
    /// How often the state was entered, or was the first one.
    pub entered: u64,
    /// The time spent in it.
    pub time: Duration,
}

impl<S: Label> Stats<S> {
    pub(super) fn new() -> Self {
        Self {
            transitions: 0,
            events: 0,
            ignored: 0,
            refused: 0,
            deadlines: 0,
            faults: 0,
            unobserved: 0,
            per_state: Vec::new(),
            marker: std::marker::PhantomData,
        }
    }

    /// How often and how long the machine was in `state`.
    #[must_use]
    pub fn in_state(&self, state: S) -> InState {
        let Row { entered, nanos } = self.per_state.get(state.index()).copied().unwrap_or_default();
        InState { entered, time: Duration::from_nanos(nanos) }
    }

    pub(super) fn entered(&mut self, state: S) {
        let index = state.index();
        if let Some(missing) = (index + 1).checked_sub(self.per_state.len()) {
            self.per_state.reserve_exact(missing);
            self.per_state.resize(self.per_state.len() + missing, Row::default());
        }
        if let Some(row) = self.per_state.get_mut(index) {
            row.entered += 1;
        }
    }

    pub(super) fn spent(&mut self, state: S, time: Duration) {
        if let Some(row) = self.per_state.get_mut(state.index()) {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            row.nanos = row.nanos.saturating_add(nanos);
        }
    }
}
