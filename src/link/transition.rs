//! The transitions of a link, as futures that own it.
//!
//! Both are `Unpin`: polled by `&mut` under a timeout, they can be awaited again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::core::Waiter;
use super::error::{Ended, Failed};
use super::handle::{Connected, Disconnected, Link, Owner};
use super::service::Service;
use super::shared::never_began;
use crate::fsm::supervisor::{Event, State};

/// A link that is being connected.
///
/// *Before the first poll* nothing was dialled, and [`take_back`](Self::take_back) gives the link
/// back. *In flight*, dropping it stops the attempt and closes the link. *Complete*, it is empty and
/// stays pending.
#[must_use = "nothing is dialled until the transition is awaited"]
pub struct Connecting<T: Service> {
    owner: Option<Owner<T>>,
    /// Once it was polled; with how often the link was up before.
    flight: Option<(Waiter, u64)>,
}

impl<T: Service> Connecting<T> {
    pub(super) fn new(owner: Owner<T>) -> Self {
        Self { owner: Some(owner), flight: None }
    }

    /// The link, if nothing was dialled yet.
    ///
    /// # Errors
    /// The transition itself, once it was polled.
    pub fn take_back(mut self) -> Result<Link<Disconnected, T>, Self> {
        match self.owner.take() {
            Some(owner) if self.flight.is_none() => Ok(Link::from_owner(owner)),
            owner => Err(Self { owner, flight: self.flight }),
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended<T::Error>>> {
        let Some(owner) = &self.owner else { return Poll::Pending };
        let (waiter, ups) = match &mut self.flight {
            Some(flight) => flight,
            None => match owner.0.start() {
                Ok(ups) => self.flight.insert((Waiter::new(owner.0.core.clone()), ups)),
                Err(fault) => return Poll::Ready(Err(never_began(fault))),
            },
        };
        waiter.wait(cx, |inner| match inner.ups > *ups {
            // So the type says the truth; what became of the link since, its state says.
            true => Some(Ok(())),
            false => owner.0.ended(inner).map(Err),
        })
    }
}

impl<T: Service> Future for Connecting<T> {
    type Output = Result<Link<Connected, T>, Failed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.poll_outcome(cx));
        let Some(owner) = self.owner.take() else { return Poll::Pending };
        Poll::Ready(match outcome {
            Ok(()) => Ok(Link::from_owner(owner)),
            Err(ended) => {
                owner.0.reset();
                Err(Failed::new(ended, Link::from_owner(owner)))
            }
        })
    }
}

impl<T: Service> fmt::Debug for Connecting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.flight.is_some();
        f.debug_struct("Connecting").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}

/// A link that is being closed. Dropped, at any time, it still closes, and nobody waits for that.
#[must_use = "closing waits for what is under way; dropped, nobody waits"]
pub struct Closing<T: Service> {
    owner: Option<Owner<T>>,
    flight: Option<Waiter>,
}

impl<T: Service> Closing<T> {
    pub(super) fn new(owner: Owner<T>) -> Self {
        Self { owner: Some(owner), flight: None }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(owner) = &self.owner else { return Poll::Pending };
        let waiter = self.flight.get_or_insert_with(|| {
            // Without effect on a link that is closing or has ended already.
            let _ = owner.0.tell(Event::Close);
            Waiter::new(owner.0.core.clone())
        });
        waiter.wait(cx, |inner| (inner.state() == State::Closed).then_some(()))
    }
}

impl<T: Service> Future for Closing<T> {
    type Output = Link<Disconnected, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_closed(cx));
        let Some(owner) = self.owner.take() else { return Poll::Pending };
        owner.0.reset();
        Poll::Ready(Link::from_owner(owner))
    }
}

impl<T: Service> fmt::Debug for Closing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.flight.is_some();
        f.debug_struct("Closing").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}
