//! Transitions as data, and those who watch them.

use std::fmt;

use super::aside::Aside;
use super::{Behaviour, CauseId, Label, On, Time, TransitionOf};

/// A step from one state to another, or to the same one anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition<S: Label, K: Label> {
    /// The state that was left.
    pub from: S,
    /// The state that was entered.
    pub to: S,
    /// What led to it.
    pub on: On<K>,
    /// When.
    pub at: Time,
    /// Whether it went to a fallback, because the state failed or said that it is broken.
    pub fell_back: bool,
    /// The cause that the event carried.
    pub cause: CauseId,
    pub(super) number: Aside<u64>,
}

impl<S: Label, K: Label> Transition<S, K> {
    /// The transition's number in its machine, from 1. It takes no part in equality.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number.0
    }

    /// The name of the event, or `deadline`.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.on.name()
    }
}

impl<S: Label, K: Label> fmt::Display for Transition<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.name(), self.to.name());
        write!(f, "{from} --{}--> {to}", self.event())?;
        if self.fell_back {
            f.write_str(" (fallback)")?;
        }
        Ok(())
    }
}

/// Watches a machine from within a call to it, before and after each transition.
///
/// It sees the transition and nothing else, so it can neither change nor re-enter the machine, and
/// it returns nothing, so it cannot forbid. It does run on the caller's time; where that matters,
/// fetch the transitions with [`Machine::poll_transition`] and run [`Hooks`] elsewhere.
///
/// [`Machine::poll_transition`]: crate::fsm::Machine::poll_transition
pub trait Observer<B: Behaviour> {
    /// The machine is about to leave `transition.from`.
    fn before(&mut self, transition: &TransitionOf<B>) {
        let _ = transition;
    }

    /// The machine has entered `transition.to`.
    fn after(&mut self, transition: &TransitionOf<B>) {
        let _ = transition;
    }
}

/// Nobody watches.
impl<B: Behaviour> Observer<B> for () {}

impl<B: Behaviour> Observer<B> for Hooks<B::State, B::Kind> {
    fn before(&mut self, transition: &TransitionOf<B>) {
        self.run_before(transition);
    }

    fn after(&mut self, transition: &TransitionOf<B>) {
        self.run_after(transition);
    }
}

/// A registry of callbacks, per state and per machine, before and after each transition.
///
/// It is kept beside the machine and not in it, since a machine is plain data. Hand it to
/// [`Machine::handle_with`] as an [`Observer`], and it runs within the call; or keep the machine
/// clear of it, and [`run`](Self::run) it on what [`Machine::poll_transition`] gives, from a place
/// where a slow callback holds nobody up.
///
/// The order: hooks of the machine before the transition, hooks of the state that is left, then,
/// after the transition, hooks of the state that is entered, hooks of the machine; each in the
/// order of registration.
///
/// [`Machine::handle_with`]: crate::fsm::Machine::handle_with
/// [`Machine::poll_transition`]: crate::fsm::Machine::poll_transition
pub struct Hooks<S: Label, K: Label> {
    before_any: Vec<Hook<S, K>>,
    leaving: Vec<(S, Hook<S, K>)>,
    entered: Vec<(S, Hook<S, K>)>,
    after_any: Vec<Hook<S, K>>,
}

type Hook<S, K> = Box<dyn FnMut(&Transition<S, K>) + Send>;

impl<S: Label, K: Label> Hooks<S, K> {
    /// No hooks yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            before_any: Vec::new(),
            leaving: Vec::new(),
            entered: Vec::new(),
            after_any: Vec::new(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before_any.is_empty()
            && self.leaving.is_empty()
            && self.entered.is_empty()
            && self.after_any.is_empty()
    }

    /// Runs `hook` before every transition.
    pub fn before_any(&mut self, hook: impl FnMut(&Transition<S, K>) + Send + 'static) {
        self.before_any.push(Box::new(hook));
    }

    /// Runs `hook` after every transition.
    pub fn after_any(&mut self, hook: impl FnMut(&Transition<S, K>) + Send + 'static) {
        self.after_any.push(Box::new(hook));
    }

    /// Runs `hook` before `state` is left.
    pub fn before_leaving(
        &mut self,
        state: S,
        hook: impl FnMut(&Transition<S, K>) + Send + 'static,
    ) {
        self.leaving.push((state, Box::new(hook)));
    }

    /// Runs `hook` after `state` was entered.
    pub fn after_entering(
        &mut self,
        state: S,
        hook: impl FnMut(&Transition<S, K>) + Send + 'static,
    ) {
        self.entered.push((state, Box::new(hook)));
    }

    /// Runs all hooks of a transition that has been fetched from a machine.
    pub fn run(&mut self, transition: &Transition<S, K>) {
        self.run_before(transition);
        self.run_after(transition);
    }

    fn run_before(&mut self, transition: &Transition<S, K>) {
        for hook in &mut self.before_any {
            hook(transition);
        }
        for (_, hook) in self.leaving.iter_mut().filter(|h| h.0 == transition.from) {
            hook(transition);
        }
    }

    fn run_after(&mut self, transition: &Transition<S, K>) {
        for (_, hook) in self.entered.iter_mut().filter(|h| h.0 == transition.to) {
            hook(transition);
        }
        for hook in &mut self.after_any {
            hook(transition);
        }
    }
}

impl<S: Label, K: Label> Default for Hooks<S, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Label, K: Label> fmt::Debug for Hooks<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("before_any", &self.before_any.len())
            .field("leaving", &self.leaving.len())
            .field("entered", &self.entered.len())
            .field("after_any", &self.after_any.len())
            .finish()
    }
}
