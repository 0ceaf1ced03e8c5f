//! The session that is up, lent to a caller.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::error::Fault;
use super::service::Service;
use super::shared::Shared;

/// A session that was up when it was asked for; dereferences to it.
///
/// Holding it keeps the session's value alive, not the link: ask for a new one per use, or when a
/// call on it fails.
pub struct Lease<T: Service> {
    shared: Arc<Shared<T>>,
    session: Arc<T::Session>,
    epoch: u64,
}

impl<T: Service> Lease<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, session: Arc<T::Session>, epoch: u64) -> Self {
        Self { shared, session, epoch }
    }

    /// Reports that the session is dead, as a call on it has shown, so that the link need not find out
    /// by itself. Says whether that was news: once the link has gone on to another session, it is not.
    pub fn lost(&self, error: T::Error) -> bool {
        self.shared.lost(self.epoch, Fault::Service(error))
    }

    /// Whether this session is still the link's.
    pub fn is_current(&self) -> bool {
        self.shared.is_current(self.epoch)
    }

    /// The number of the session, from 1.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<T: Service> Deref for Lease<T> {
    type Target = T::Session;

    fn deref(&self) -> &T::Session {
        &self.session
    }
}

impl<T: Service> Clone for Lease<T> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone(), self.session.clone(), self.epoch)
    }
}

impl<T: Service> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.shared.core.id();
        f.debug_struct("Lease").field("link", id).field("epoch", &self.epoch).finish()
    }
}
