//! How channels are made, and what becomes of them when they are back.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::time::Instant;

use super::{
    PoolMode,
    conns::{Conns, Lease},
    older,
    status::Reason,
};
use crate::{Chan, Error};

/// Makes channels, and looks at those that are back.
pub(super) struct Keeper<M> {
    conns: Arc<Conns>,
    mode: PhantomData<fn() -> M>,
}

/// A channel of a pool.
pub(super) struct Kept<M: PoolMode> {
    /// Shared with a check that is under way. Goes before its place does.
    pub(super) chan: Arc<Checked<M>>,
    lease: Lease,
    made: Instant,
    /// When it was given back.
    pub(super) idle_since: Instant,
}

/// A channel, and what was found out about it.
pub(super) struct Checked<M: PoolMode> {
    pub(super) chan: Chan<M>,
    pub(super) is_silent: AtomicBool,
}

impl<M: PoolMode> Keeper<M> {
    pub(super) fn new(conns: Arc<Conns>) -> Self {
        Keeper { conns, mode: PhantomData }
    }

    /// Why a channel is not kept, as far as can be seen without asking the broker.
    pub(super) fn fault(&self, kept: &Kept<M>, idle: Option<Duration>) -> Option<Reason> {
        let Kept { chan, lease, made, idle_since } = kept;
        if chan.chan.close_reason().is_some() {
            Some(Reason::Closed)
        } else if chan.is_silent.load(Ordering::Relaxed) {
            Some(Reason::Unanswered)
        } else if let Some(reason) = self.conns.retired(lease.connection()) {
            Some(reason)
        } else if older(*made, self.conns.lifetime) {
            Some(Reason::Expired)
        } else if older(*idle_since, idle) {
            Some(Reason::Idle)
        } else if chan.chan.stats().consumers > 0 {
            Some(Reason::InUse)
        } else {
            None
        }
    }

    /// Counts and logs it.
    pub(super) fn evict(&self, kept: &Kept<M>, reason: Reason) {
        self.conns.channels_evicted.count(reason);
        let connection = kept.lease.connection();
        match reason {
            Reason::InUse => tracing::warn!(
                connection,
                "a channel came back to its pool while a consumer was still on it; it is not used again"
            ),
            _ => tracing::debug!(connection, ?reason, "a pool gives up a channel"),
        }
    }
}

impl<M: PoolMode> Kept<M> {
    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.lease.connection()
    }
}

impl<M: PoolMode> Manager for Keeper<M> {
    type Type = Kept<M>;
    type Error = Error;

    async fn create(&self) -> Result<Kept<M>, Error> {
        let (lease, chan) = self.conns.open().await?;
        let chan = M::enter(chan).await?;
        self.conns.channels_created.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let chan = Arc::new(Checked { chan, is_silent: AtomicBool::new(false) });
        Ok(Kept { chan, lease, made: now, idle_since: now })
    }

    async fn recycle(&self, kept: &mut Kept<M>, _: &Metrics) -> RecycleResult<Error> {
        self.conns.evict(None);
        // However long it was idle: it is needed now.
        if let Some(reason) = self.fault(kept, None) {
            self.evict(kept, reason);
            return Err(RecycleError::message("it is not to be used any more"));
        }
        M::clean(&kept.chan.chan).await.map_err(|error| {
            self.evict(kept, Reason::Closed);
            RecycleError::Backend(error)
        })
    }
}
