//! The table of a machine: which event is legal in which state, and what may come of it.
//!
//! It is constant data that is checked at run time, drawn as diagrams, and
//! compared in tests. A machine cannot do what its table does not say.

use std::fmt;
use std::time::Duration;

use super::{Behaviour, Context, Label};

/// All states of a machine with what is legal in each.
pub struct Table<B: Behaviour> {
    /// The state a machine begins in.
    pub initial: B::State,
    /// The states, in the order of [`Label::ALL`].
    pub nodes: &'static [Node<B>],
    /// Where to go when a state fails that has no fallback of its own.
    pub fallback: Option<B::State>,
}

/// One state of a [`Table`].
pub struct Node<B: Behaviour> {
    /// The state.
    pub state: B::State,
    /// What is legal in it. Of several rows for one event, the first whose guard holds counts.
    pub rows: &'static [Row<B>],
    /// Where [`Outcome::Complete`](crate::fsm::Outcome::Complete) leads; `None` stays.
    pub successor: Option<B::State>,
    /// Where to go when this state fails.
    pub fallback: Option<B::State>,
    /// How long the state may last.
    pub deadline: Option<Duration>,
}

/// What may come of one event, or of the deadline, in one state.
pub struct Row<B: Behaviour> {
    /// The event, or the deadline.
    pub on: On<B::Kind>,
    /// The states it may lead to.
    pub to: &'static [B::State],
    /// Whether the state may answer `Complete`: on to the successor, or stay.
    pub completes: bool,
    /// Whether the state may answer `Pending`.
    pub pends: bool,
    /// Whether the state may answer `Finalize`.
    pub finalizes: bool,
    /// Whether the state may answer `Ignored`. Where nothing else is allowed, the state is not asked.
    pub ignores: bool,
    /// Whether `Complete` here means that the outstanding answer has come.
    pub settles: bool,
    /// The condition under which this row counts.
    pub guard: Option<Guard<B>>,
}

/// A named condition.
pub struct Guard<B: Behaviour> {
    /// The name, for refusals and diagrams; it reads after "unless".
    pub name: &'static str,
    /// The condition. It looks and changes nothing.
    pub holds: Condition<B>,
}

type Condition<B> = fn(
    &B,
    &<B as Behaviour>::Event,
    &Context<<B as Behaviour>::State, <B as Behaviour>::Kind>,
) -> bool;

/// What a state handles: an event of some kind, or the passing of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum On<K> {
    /// An event of this kind.
    Event(K),
    /// A deadline passed.
    Deadline,
}

/// A row for an event of this kind, to be completed by the methods of [`Row`].
#[must_use]
pub const fn on<B: Behaviour>(kind: B::Kind) -> Row<B> {
    Row::new(On::Event(kind))
}

/// A row for a passed deadline, to be completed by the methods of [`Row`].
#[must_use]
pub const fn on_deadline<B: Behaviour>() -> Row<B> {
    Row::new(On::Deadline)
}

impl<B: Behaviour> Row<B> {
    const fn new(on: On<B::Kind>) -> Self {
        Self {
            on,
            to: &[],
            completes: false,
            pends: false,
            finalizes: false,
            ignores: false,
            settles: false,
            guard: None,
        }
    }

    /// May lead to these states.
    #[must_use]
    pub const fn to(mut self, states: &'static [B::State]) -> Self {
        self.to = states;
        self
    }

    /// May be done with: on to the successor, or stay.
    #[must_use]
    pub const fn completes(mut self) -> Self {
        self.completes = true;
        self
    }

    /// May leave an answer outstanding.
    #[must_use]
    pub const fn pends(mut self) -> Self {
        self.pends = true;
        self
    }

    /// Is the answer that was outstanding; the state is done with it.
    #[must_use]
    pub const fn settles(mut self) -> Self {
        self.completes = true;
        self.settles = true;
        self
    }

    /// May end the machine.
    #[must_use]
    pub const fn finalizes(mut self) -> Self {
        self.finalizes = true;
        self
    }

    /// May have no effect.
    #[must_use]
    pub const fn ignores(mut self) -> Self {
        self.ignores = true;
        self
    }

    /// Counts only where the condition holds. Deadlines have no event and take no guard.
    #[must_use]
    pub const fn when(mut self, name: &'static str, holds: Condition<B>) -> Self {
        self.guard = Some(Guard { name, holds });
        self
    }

    /// Whether the state need not be asked, since it can only ignore.
    pub(super) const fn only_ignores(&self) -> bool {
        self.ignores && !self.completes && !self.pends && !self.finalizes && self.to.is_empty()
    }
}

impl<B: Behaviour> Node<B> {
    /// A state and what is legal in it.
    #[must_use]
    pub const fn new(state: B::State, rows: &'static [Row<B>]) -> Self {
        Self { state, rows, successor: None, fallback: None, deadline: None }
    }

    /// `Complete` leads on to `state`.
    #[must_use]
    pub const fn then(mut self, state: B::State) -> Self {
        self.successor = Some(state);
        self
    }

    /// A failure leads to `state`.
    #[must_use]
    pub const fn or_else(mut self, state: B::State) -> Self {
        self.fallback = Some(state);
        self
    }

    /// The state may last this long.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }
}

impl<B: Behaviour> Table<B> {
    /// A table that begins with `initial`.
    #[must_use]
    pub const fn new(initial: B::State, nodes: &'static [Node<B>]) -> Self {
        Self { initial, nodes, fallback: None }
    }

    /// A failure of any state without a fallback of its own leads to `state`.
    #[must_use]
    pub const fn or_else(mut self, state: B::State) -> Self {
        self.fallback = Some(state);
        self
    }

    /// What the table says of `state`.
    #[must_use]
    pub fn node(&self, state: B::State) -> Option<&'static Node<B>> {
        // In a table that passes `check`, a state's place is its index.
        match self.nodes.get(state.index()) {
            Some(node) if node.state == state => Some(node),
            _ => self.nodes.iter().find(|node| node.state == state),
        }
    }

    /// The rows of `state` for `on`, in order.
    pub fn rows(
        &self,
        state: B::State,
        on: On<B::Kind>,
    ) -> impl Iterator<Item = &'static Row<B>> + use<B> {
        let rows = self.node(state).map_or(&[][..], |node| node.rows);
        rows.iter().filter(move |row| row.on == on)
    }

    /// Every step that the table allows, in its order: from, on what, under which guard, to;
    /// successors, fallbacks and staying included as far as they lead to a state.
    pub fn steps(&self) -> impl Iterator<Item = Step<B>> + use<B> {
        let fallback = self.fallback;
        self.nodes.iter().flat_map(move |node| {
            let rows = node.rows.iter().flat_map(move |row| {
                let next = node.successor.filter(|_| row.completes);
                row.to.iter().copied().chain(next).map(move |to| Step {
                    from: node.state,
                    on: Some(row.on),
                    guard: row.guard.as_ref().map(|guard| guard.name),
                    to,
                })
            });
            let fall = node.fallback.or(fallback).map(|to| Step {
                from: node.state,
                on: None,
                guard: None,
                to,
            });
            rows.chain(fall)
        })
    }

    /// Checks that the table is whole. A test of each machine calls this.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn check(&self) -> Result<(), TableFlaw> {
        let names = |state: B::State| state.name();
        if self.nodes.len() != B::State::ALL.len() {
            return Err(TableFlaw::NotAllStates);
        }
        for (node, state) in self.nodes.iter().zip(B::State::ALL) {
            if node.state != *state {
                return Err(TableFlaw::OutOfOrder(names(node.state)));
            }
            for (at, row) in node.rows.iter().enumerate() {
                let earlier = node.rows.get(..at).unwrap_or_default();
                if earlier.iter().any(|r| r.on == row.on && r.guard.is_none()) {
                    return Err(TableFlaw::Shadowed(names(node.state), row.on.name()));
                }
                if row.on == On::Deadline && row.guard.is_some() {
                    return Err(TableFlaw::GuardedDeadline(names(node.state)));
                }
            }
        }
        match B::State::ALL.iter().find(|state| !self.reaches(**state)) {
            Some(state) => Err(TableFlaw::Unreachable(names(*state))),
            None => Ok(()),
        }
    }

    fn reaches(&self, goal: B::State) -> bool {
        let mut seen = vec![self.initial];
        let mut at = 0;
        while let Some(from) = seen.get(at).copied() {
            for step in self.steps().filter(|step| step.from == from) {
                if !seen.contains(&step.to) {
                    seen.push(step.to);
                }
            }
            at += 1;
        }
        seen.contains(&goal)
    }
}

/// One arrow of a table.
#[derive(Clone, Copy)]
pub struct Step<B: Behaviour> {
    /// The state it leaves.
    pub from: B::State,
    /// What leads to it; `None` for a failure.
    pub on: Option<On<B::Kind>>,
    /// The condition.
    pub guard: Option<&'static str>,
    /// The state it enters.
    pub to: B::State,
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TableFlaw {
    /// A state is missing, or is there twice.
    #[error("the table does not hold every state once")]
    NotAllStates,
    /// The states are not in the order of their labels.
    #[error("state {0} is not in the order of the labels")]
    OutOfOrder(&'static str),
    /// A row comes after one for the same event that always counts.
    #[error("in state {0}, a row for `{1}` can never count")]
    Shadowed(&'static str, &'static str),
    /// A deadline has a guard, which it cannot have.
    #[error("in state {0}, the deadline has a guard")]
    GuardedDeadline(&'static str),
    /// No sequence of steps leads to a state.
    #[error("state {0} cannot be reached")]
    Unreachable(&'static str),
}

impl<K: Label> On<K> {
    /// The name of the event, or `deadline`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Event(kind) => kind.name(),
            Self::Deadline => "deadline",
        }
    }
}

impl<B: Behaviour> fmt::Debug for Guard<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.name).finish()
    }
}

impl<B: Behaviour> fmt::Debug for Row<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("on", &self.on)
            .field("to", &self.to)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl<B: Behaviour> fmt::Debug for Node<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("state", &self.state)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<B: Behaviour> fmt::Debug for Table<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("initial", &self.initial)
            .field("nodes", &self.nodes)
            .field("fallback", &self.fallback)
            .finish()
    }
}

impl<B: Behaviour> fmt::Debug for Step<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = self.on.map_or("failure", On::name);
        write!(f, "{:?} --{on}--> {:?}", self.from, self.to)
    }
}
