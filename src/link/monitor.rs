//! Looking at a link without holding it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::time::Instant;

use super::core::{Core, Inner, Waiter};
use crate::fsm::supervisor::{Reasons, State, Stats, Transition};
use crate::fsm::{Supervisor, Time};

/// Watches a link: its state, its statistics, its transitions. Clonable, and of one type whatever the
/// service, so that links of all kinds can be shown side by side. It does not keep the link alive.
#[derive(Clone)]
pub struct Monitor {
    core: Arc<Core>,
}

impl Monitor {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The link's id.
    pub fn id(&self) -> &str {
        self.core.id()
    }

    /// The machine's state.
    pub fn state(&self) -> State {
        self.core.look(Inner::state)
    }

    /// Waits until the link comes into this state, or at once if it is in it. A state that it only
    /// passes through counts too. False: the link was dropped, and no transition can follow.
    pub fn reaches(&self, state: State) -> Reaches {
        let seen = self.core.look(Inner::last);
        Reaches { waiter: Waiter::new(self.core.clone()), state, seen }
    }

    /// Every transition from now on.
    pub fn transitions(&self) -> Transitions {
        let last = self.core.look(Inner::last);
        Transitions::after(self.core.clone(), last)
    }

    /// What the machine has counted until now.
    pub fn stats(&self) -> Stats {
        let now = self.core.now();
        self.core.look(|inner| inner.supervisor.stats(now))
    }

    /// Why the link is degraded, or will be when it is back.
    pub fn reasons(&self) -> Reasons {
        self.core.look(|inner| inner.supervisor.reasons())
    }

    /// Whether the link can be dialled by hand: nothing is up, under way, or waiting to be tried again.
    pub fn can_attempt_connection(&self) -> bool {
        self.core.look(|inner| inner.supervisor.can_attempt_connection())
    }

    /// When the open breaker lets an attempt through; none while it is not open.
    pub fn next_probe(&self) -> Option<Instant> {
        let probe = self.core.look(|inner| inner.supervisor.next_probe())?;
        Some(self.core.instant(probe))
    }

    /// When the next attempt begins, if the machine waits for one.
    pub fn next_attempt(&self) -> Option<Instant> {
        let next = self.core.look(|inner| inner.supervisor.next_attempt())?;
        Some(self.core.instant(next))
    }

    /// A machine's point in time, as in a [`Transition`], on the clock of the runtime.
    pub fn instant(&self, time: Time) -> Instant {
        self.core.instant(time)
    }

    /// A copy of the machine as it is now, to ask what it would do, or to draw it.
    pub fn supervisor(&self) -> Supervisor {
        self.core.look(|inner| inner.supervisor.clone())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("id", &self.id()).field("state", &self.state()).finish()
    }
}

/// Waits for a state; see [`Monitor::reaches`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reaches {
    waiter: Waiter,
    state: State,
    seen: u64,
}

impl Future for Reaches {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let Self { waiter, state, seen } = &mut *self;
        waiter.wait(cx, |inner| {
            let mut reached = inner.state() == *state;
            while let Some(next) = inner.after(*seen) {
                *seen = next.number();
                reached |= next.to == *state;
            }
            (reached || inner.gone).then_some(reached)
        })
    }
}

impl fmt::Debug for Reaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaches").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A stream of a link's transitions. It ends when the link was dropped and has closed.
///
/// The last 256 transitions are kept; a reader that falls further behind skips what is gone, and
/// [`missed`](Self::missed) counts it.
#[must_use = "streams do nothing unless polled"]
pub struct Transitions {
    waiter: Waiter,
    seen: u64,
    missed: u64,
}

impl Transitions {
    /// The transitions after the one with this number.
    pub(super) fn after(core: Arc<Core>, seen: u64) -> Self {
        Self { waiter: Waiter::new(core), seen, missed: 0 }
    }

    /// The next transition.
    pub async fn next(&mut self) -> Option<Transition> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next transition, if it has happened already.
    pub fn try_next(&mut self) -> Option<Transition> {
        let next = self.waiter.core().look(|inner| inner.after(self.seen));
        next.map(|next| self.take(next))
    }

    /// How many transitions this reader came too late for.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn take(&mut self, next: Transition) -> Transition {
        self.missed += next.number() - self.seen - 1;
        self.seen = next.number();
        next
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        let seen = self.seen;
        let next = self.waiter.wait(cx, |inner| match inner.after(seen) {
            Some(next) => Some(Some(next)),
            None => inner.gone.then_some(None),
        });
        next.map(|next| next.map(|next| self.take(next)))
    }
}

impl fmt::Debug for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions")
            .field("seen", &self.seen)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
