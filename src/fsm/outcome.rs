//! What a state says after an event, and what the machine says to its caller.

use super::Time;

/// What a state answers to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<S> {
    /// Go to `to`, which may be the same state anew. With `reprocess` the new state handles the
    /// same event again, a bounded number of times.
    Reset {
        /// The state to go to; the table must allow it.
        to: S,
        /// Whether the new state handles the same event.
        reprocess: bool,
    },
    /// Done with this event: on to the state's declared successor, or stay where it has none.
    Complete,
    /// The machine has ended: no transition follows, and every later event is answered by an error.
    Finalize,
    /// An answer is outstanding. Stays; at the deadline the state is asked what to do.
    Pending {
        /// When to ask the state, if the answer has not come. `None` waits as long as the state may.
        deadline: Option<Time>,
    },
    /// Legal, and without effect.
    Ignored,
}

impl<S> Outcome<S> {
    /// Go to `to`.
    pub const fn to(to: S) -> Self {
        Self::Reset { to, reprocess: false }
    }

    /// Go to `to`, and let it handle the same event.
    pub const fn reprocess_in(to: S) -> Self {
        Self::Reset { to, reprocess: true }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// It was handled: a transition, a change within the state, or an answer now outstanding.
    Changed,
    /// It was legal and had no effect.
    Ignored,
}
