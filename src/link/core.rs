//! The supervisor of a link with what surrounds it, whatever the service: clock, lock, those who wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::fsm::supervisor::{Action, Phase, State, Transition};
use crate::fsm::{Supervisor, Time};

/// How many transitions are kept for those who read them.
pub(super) const HISTORY: usize = 256;

pub(super) struct Core {
    id: Arc<str>,
    origin: Instant,
    inner: Mutex<Inner>,
}

/// What the lock holds.
pub(super) struct Inner {
    pub(super) supervisor: Supervisor,
    /// How often the link came up.
    pub(super) ups: u64,
    /// Whether the task runs.
    pub(super) running: bool,
    /// Whether the task stopped before its work was done.
    pub(super) stopped: bool,
    /// Whether the link was dropped.
    pub(super) released: bool,
    /// Whether no transition can follow any more.
    pub(super) gone: bool,
    /// Bounded, since the supervisor takes nothing that would bring actions without end, unless the
    /// task did what earlier ones say.
    todo: VecDeque<Action>,
    /// The last transitions.
    history: VecDeque<Transition>,
    /// The number of the last transition that was logged.
    logged: u64,
    task: Option<Waker>,
    waiters: Vec<(u64, Waker)>,
    next_waiter: u64,
}

impl Core {
    pub(super) fn new(id: Arc<str>, supervisor: Supervisor) -> Self {
        let inner = Inner {
            supervisor,
            ups: 0,
            running: false,
            stopped: false,
            released: false,
            gone: false,
            todo: VecDeque::new(),
            history: VecDeque::with_capacity(HISTORY),
            logged: 0,
            task: None,
            waiters: Vec::new(),
            next_waiter: 0,
        };
        Self { id, origin: Instant::now(), inner: Mutex::new(inner) }
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// The machine's time on the clock of the runtime.
    pub(super) fn instant(&self, time: Time) -> Instant {
        let since = time.saturating_since(Time::ZERO);
        self.origin.checked_add(since).unwrap_or(self.origin)
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        look(&self.lock())
    }

    /// Changes something, and wakes whom that concerns once the lock is free again.
    pub(super) fn step<R>(&self, change: impl FnOnce(&mut Inner, Time) -> R) -> R {
        let mut inner = self.lock();
        // Taken under the lock, so that the machine never sees time run backwards.
        let now = self.now();
        let result = change(&mut inner, now);
        let news = inner.settle();
        let task = inner.task.take();
        let waiters = if news { std::mem::take(&mut inner.waiters) } else { Vec::new() };
        drop(inner);
        waiters.into_iter().map(|(_, waker)| waker).chain(task).for_each(Waker::wake);
        result
    }

    /// Gives what `look` finds, or has the context woken at the next transition.
    pub(super) fn wait<R>(
        &self,
        key: &mut Option<u64>,
        cx: &mut Context<'_>,
        look: impl FnOnce(&Inner) -> Option<R>,
    ) -> Poll<R> {
        let mut inner = self.lock();
        if let Some(found) = look(&inner) {
            return Poll::Ready(found);
        }
        let inner = &mut *inner;
        let key = *key.get_or_insert_with(|| {
            inner.next_waiter += 1;
            inner.next_waiter
        });
        match inner.waiters.iter_mut().find(|waiter| waiter.0 == key) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => inner.waiters.push((key, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// Nobody waits under this key any more.
    pub(super) fn forget(&self, key: u64) {
        self.lock().waiters.retain(|waiter| waiter.0 != key);
    }

    /// Has the task woken at the next step.
    pub(super) fn watch(&self, task: &Waker) {
        self.lock().task = Some(task.clone());
    }

    pub(super) fn next_action(&self) -> Option<Action> {
        self.lock().todo.pop_front()
    }

    /// The next transition that was not logged yet.
    pub(super) fn next_to_log(&self) -> Option<Transition> {
        let mut inner = self.lock();
        let next = inner.after(inner.logged)?;
        inner.logged = next.number();
        Some(next)
    }

    /// Ends the task if nothing is left to do until the link is dialled again.
    pub(super) fn rest(&self) -> bool {
        let mut inner = self.lock();
        let resting = matches!(inner.state(), State::Disconnected | State::Closed);
        if !resting || !inner.todo.is_empty() || inner.after(inner.logged).is_some() {
            return false;
        }
        inner.running = false;
        inner.task = None;
        inner.gone = inner.released;
        let waiters = if inner.gone { std::mem::take(&mut inner.waiters) } else { Vec::new() };
        drop(inner);
        waiters.into_iter().for_each(|(_, waiter)| waiter.wake());
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn state(&self) -> State {
        self.supervisor.state()
    }

    /// Whether the machine counts on a session.
    pub(super) fn has_session(&self) -> bool {
        match self.state() {
            State::Connected | State::Degraded | State::Recovering => true,
            State::Closing => *self.supervisor.machine().local() != Phase::Resting,
            _ => false,
        }
    }

    /// The number of the last transition.
    pub(super) fn last(&self) -> u64 {
        self.history.back().map_or(0, Transition::number)
    }

    /// The first transition that is kept of those after the one with this number.
    pub(super) fn after(&self, number: u64) -> Option<Transition> {
        // The history has no gaps.
        let first = self.history.front()?.number();
        let skip = (number + 1).saturating_sub(first);
        self.history.get(usize::try_from(skip).ok()?).copied()
    }

    /// Fetches what the machine put out; says whether there was a transition, or the end.
    fn settle(&mut self) -> bool {
        let mut news = self.gone;
        while let Some(action) = self.supervisor.poll_action() {
            self.todo.push_back(action);
        }
        while let Some(transition) = self.supervisor.poll_transition() {
            news = true;
            if is_up(transition.to) && !is_up(transition.from) {
                self.ups += 1;
            }
            if self.history.len() >= HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(transition);
        }
        news
    }
}

fn is_up(state: State) -> bool {
    matches!(state, State::Connected | State::Degraded)
}

/// A place among those who wait, given back when it is dropped.
pub(super) struct Waiter {
    core: Arc<Core>,
    key: Option<u64>,
}

impl Waiter {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, key: None }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn wait<R>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&Inner) -> Option<R>,
    ) -> Poll<R> {
        self.core.wait(&mut self.key, cx, look)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.forget(key);
        }
    }
}
