//! `Link<Disconnected, T>` and `Link<Connected, T>`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::capability::{CanDial, IsLinked};
use super::error::{Ended, Unavailable};
use super::lease::Lease;
use super::monitor::{Monitor, Transitions};
use super::service::Service;
use super::settings::Settings;
use super::shared::Shared;
use super::transition::{Closing, Connecting};
use super::wait::{Closed, Ready};
use crate::fsm::Reaction;
use crate::fsm::supervisor::{Event, Reasons, Refusal, State, Stats};

/// The state of a link that was not dialled, or has ended.
#[derive(Debug)]
pub enum Disconnected {}

/// The state of a link that was up. Whether it is up at this instant is for the machine to say:
/// [`Link::state`].
#[derive(Debug)]
pub enum Connected {}

/// A state of [`Link`].
pub trait LinkState: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: &'static str;
}

impl LinkState for Disconnected {
    const NAME: &'static str = "Disconnected";
}

impl LinkState for Connected {
    const NAME: &'static str = "Connected";
}

/// A link to a service, in the state `S`. See the [module](super).
///
/// Not `Clone`: a clone would keep a stale state. Share it by reference or in an `Arc`; give away a
/// [`Monitor`] to those who only look. Dropping it closes the link in order, in the background.
#[must_use = "a link closes when it is dropped"]
pub struct Link<S: LinkState, T: Service> {
    owner: Owner<T>,
    state: PhantomData<fn() -> S>,
}

impl<T: Service> Link<Disconnected, T> {
    /// A link with default [`Settings`]. Nothing is dialled before [`connect`](Self::connect).
    pub fn new(service: T) -> Self {
        Self::with(service, Settings::default())
    }

    /// A link with these settings. Nothing is dialled before [`connect`](Self::connect).
    pub fn with(service: T, settings: Settings) -> Self {
        Self::from_owner(Owner(Arc::new(Shared::new(service, settings))))
    }
}

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc` (see `capability`).
impl<S: LinkState, T: Service> Link<S, T> {
    /// Connects: dials, and dials again if the policy says so for the first attempt too.
    ///
    /// # Errors
    /// [`Failed`](super::Failed), with the `Link<Disconnected, T>` to try again with.
    pub fn connect(self) -> Connecting<T>
    where
        Self: CanDial, // takes the Link<Disconnected, _> by value
    {
        Connecting::new(self.owner)
    }

    /// Closes the link: what is under way is finished first, within the policy's deadlines.
    ///
    /// In the end it is closed, whatever the peer does; [`ended`](Self::ended) says whether cleanly.
    pub fn close(self) -> Closing<T>
    where
        Self: IsLinked, // takes the Link<Connected, _> by value
    {
        Closing::new(self.owner)
    }

    /// The session that is up now, or at once why there is none.
    ///
    /// # Errors
    /// The link is down, closing or at its end; while the breaker is open, with the time of the next
    /// attempt.
    pub fn session(&self) -> Result<Lease<T>, Unavailable<T::Error>>
    where
        Self: IsLinked,
    {
        let shared = &self.owner.0;
        shared.core.look(|inner| shared.lease(inner))
    }

    /// Waits until a session is up. Set a bound with [`Ready::within`].
    ///
    /// # Errors
    /// The link is closing or at its end.
    pub fn ready(&self) -> Ready<T>
    where
        Self: IsLinked,
    {
        Ready::new(self.owner.0.clone())
    }

    /// Waits until the link has ended, and says why. Dropping it changes nothing.
    pub fn closed(&self) -> Closed<T>
    where
        Self: IsLinked,
    {
        Closed::new(self.owner.0.clone())
    }

    /// Says that the link works with reservations, for reasons of the caller's own
    /// ([`Reasons::own`]).
    ///
    /// # Errors
    /// The link is not up and will not be by itself.
    pub fn degrade(&self, reasons: Reasons) -> Result<Reaction, Refusal>
    where
        Self: IsLinked,
    {
        self.owner.0.tell(Event::Degrade(reasons))
    }

    /// Says that these reasons for being degraded are gone.
    ///
    /// # Errors
    /// The link is not up and will not be by itself.
    pub fn clear(&self, reasons: Reasons) -> Result<Reaction, Refusal>
    where
        Self: IsLinked,
    {
        self.owner.0.tell(Event::Clear(reasons))
    }

    /// Turns a link that has ended into one that can be dialled again.
    ///
    /// # Errors
    /// The link itself, while it has not ended.
    pub fn into_disconnected(self) -> Result<Link<Disconnected, T>, Self>
    where
        Self: IsLinked, // takes the Link<Connected, _> by value
    {
        match self.ended() {
            Some(_) => {
                self.owner.0.reset();
                Ok(Link::from_owner(self.owner))
            }
            None => Err(self),
        }
    }

    /// The id that is logged with every transition.
    pub fn id(&self) -> &str {
        self.owner.0.core.id()
    }

    /// The service, as it was given.
    pub fn service(&self) -> &T {
        &self.owner.0.service
    }

    /// The machine's state.
    pub fn state(&self) -> State {
        self.monitor().state()
    }

    /// What the machine has counted, over all the lives of this link.
    pub fn stats(&self) -> Stats {
        self.monitor().stats()
    }

    /// Whether the link can be dialled by hand: nothing is up, under way, or waiting to be tried again.
    pub fn can_attempt_connection(&self) -> bool {
        self.monitor().can_attempt_connection()
    }

    /// Something to watch the link with.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.owner.0.core.clone())
    }

    /// Every transition from now on.
    pub fn transitions(&self) -> Transitions {
        self.monitor().transitions()
    }

    /// How the link ended last, until it is dialled again.
    pub fn ended(&self) -> Option<Ended<T::Error>> {
        let shared = &self.owner.0;
        shared.core.look(|inner| shared.ended(inner))
    }

    pub(super) fn from_owner(owner: Owner<T>) -> Self {
        Self { owner, state: PhantomData }
    }
}

impl<S: LinkState, T: Service> fmt::Debug for Link<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link<{}>({})", S::NAME, self.id())
    }
}

/// Whoever drops this closes the link. A link itself has no `Drop`, or transitions could not take
/// it apart.
pub(super) struct Owner<T: Service>(pub(super) Arc<Shared<T>>);

impl<T: Service> Drop for Owner<T> {
    fn drop(&mut self) {
        self.0.release();
    }
}

pub(super) mod sealed {
    use super::{Connected, Disconnected, Link, LinkState, Service};

    /// Implemented by this module's types only.
    pub trait Sealed {}
    impl Sealed for Disconnected {}
    impl Sealed for Connected {}
    impl<S: LinkState, T: Service> Sealed for Link<S, T> {}
}
