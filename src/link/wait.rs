//! Waiting for a link to be up, and for its end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};

use super::core::{Inner, Waiter};
use super::error::{Ended, Unavailable};
use super::lease::Lease;
use super::service::Service;
use super::shared::Shared;

/// Waits until a session is up; see [`Link::ready`](super::Link::ready).
#[pin_project]
#[must_use = "futures do nothing unless awaited"]
pub struct Ready<T: Service> {
    shared: Arc<Shared<T>>,
    waiter: Waiter,
    within: Option<Duration>,
    #[pin]
    deadline: Option<Sleep>,
}

impl<T: Service> Ready<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let waiter = Waiter::new(shared.core.clone());
        Self { shared, waiter, within: None, deadline: None }
    }

    /// Waits no longer than this, from the first poll on, and then fails with
    /// [`Unavailable::TimedOut`].
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }
}

impl<T: Service> Future for Ready<T> {
    type Output = Result<Lease<T>, Unavailable<T::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = this.shared;
        let found = this.waiter.wait(cx, |inner| match shared.lease(inner) {
            Err(Unavailable::Down { .. } | Unavailable::CircuitOpen { .. }) => None,
            found => Some(found),
        });
        let (Some(after), Poll::Pending) = (*this.within, &found) else { return found };
        if this.deadline.is_none() {
            this.deadline.set(Some(sleep(after)));
        }
        match this.deadline.as_pin_mut().map(|deadline| deadline.poll(cx)) {
            Some(Poll::Ready(())) => {
                let state = shared.core.look(Inner::state);
                Poll::Ready(Err(Unavailable::TimedOut { after, state }))
            }
            _ => Poll::Pending,
        }
    }
}

impl<T: Service> fmt::Debug for Ready<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("within", &self.within).finish_non_exhaustive()
    }
}

/// Waits for the end of a link; see [`Link::closed`](super::Link::closed).
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<T: Service> {
    shared: Arc<Shared<T>>,
    waiter: Waiter,
}

impl<T: Service> Closed<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let waiter = Waiter::new(shared.core.clone());
        Self { shared, waiter }
    }
}

impl<T: Service> Future for Closed<T> {
    type Output = Ended<T::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, waiter } = &mut *self;
        waiter.wait(cx, |inner| shared.ended(inner))
    }
}

impl<T: Service> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").field("link", self.shared.core.id()).finish()
    }
}
