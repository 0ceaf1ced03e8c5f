//! What a link needs to know of the service at its other end.

use std::error::Error;
use std::future::{self, Future};
use std::io;

use crate::fsm::supervisor::Retry;

/// A service that a [`Link`](super::Link) keeps a session with.
///
/// The futures are polled by the link's task, never two calls to [`dial`](Self::dial) at once, and
/// are dropped when their time is up or what they are for is gone: write them so that being dropped
/// loses nothing. As everywhere in tokio they must not block the thread.
pub trait Service: Send + Sync + 'static {
    /// What is up while the link is: a socket, a client. It is dropped when it is lost, and after
    /// [`close`](Self::close); leases of it may live longer.
    type Session: Send + Sync + 'static;

    /// What can go wrong, and whether a retry can help.
    type Error: Failure;

    /// Makes a session.
    ///
    /// # Errors
    /// Why there is none.
    fn dial(&self) -> impl Future<Output = Result<Self::Session, Self::Error>> + Send;

    /// Asks for a sign of life, and waits for it. [`Pulse`](super::Pulse) says when, and for how long.
    ///
    /// # Errors
    /// The session is dead.
    fn probe(
        &self,
        session: &Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Ends the session in order. The link does not wait longer than
    /// [`Policy::close_timeout`](super::Policy::close_timeout).
    fn close(&self, session: &Self::Session) -> impl Future<Output = ()> + Send;

    /// Waits until the session is dead, and says why. By default it waits for ever, and only probes
    /// and [`Lease::lost`](super::Lease::lost) tell.
    fn lost(&self, session: &Self::Session) -> impl Future<Output = Self::Error> + Send {
        let _ = session;
        future::pending()
    }

    /// Restores on a new session what was on the one that was lost: subscriptions, registrations. It is
    /// not called for the first session after [`connect`](super::Link::connect), to which nothing was
    /// lost. By default there is nothing to restore.
    ///
    /// # Errors
    /// The session is dead, or of no use.
    fn recover(
        &self,
        session: &Self::Session,
    ) -> impl Future<Output = Result<Restored, Self::Error>> + Send {
        let _ = session;
        future::ready(Ok(Restored::Everything))
    }

    /// Finishes what is under way before the link closes. The link does not wait longer than
    /// [`Policy::drain_timeout`](super::Policy::drain_timeout). By default nothing is under way.
    fn drain(&self, session: &Self::Session) -> impl Future<Output = ()> + Send {
        let _ = session;
        future::ready(())
    }
}

/// An error that knows whether trying again can help.
pub trait Failure: Error + Send + Sync + 'static {
    /// [`Retry::Never`] ends the link: the peer does not want us, or we were told wrong.
    fn retry(&self) -> Retry;
}

/// Another attempt can help, unless what was asked for makes no sense to the system.
impl Failure for io::Error {
    fn retry(&self) -> Retry {
        match self.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Retry::Never,
            _ => Retry::Can,
        }
    }
}

/// How much of what was on a session is on the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restored {
    /// All of it.
    Everything,
    /// A part: the link is degraded, for [`Reasons::PARTIAL`](super::Reasons::PARTIAL), until
    /// [`Link::clear`](super::Link::clear).
    Partly,
}
