//! Checks: what does not answer is evicted.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use super::{PoolMode, Purpose, Shared};
use crate::{Error, Hold};

/// The task that checks, while there is one.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Running(AbortHandle),
    Stopped,
}

impl Checks {
    /// Begins them, if they are not going on. The task does not keep the pool alive.
    pub(super) fn start<M: PoolMode, P: Purpose>(&self, every: Duration, pool: Weak<Shared<M, P>>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A runtime that has ended takes its tasks along; another may go on with the pool.
        let runs = matches!(&*state, State::Running(task) if !task.is_finished());
        if runs || matches!(*state, State::Stopped) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let task = runtime.spawn(async move {
            loop {
                sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                round(&pool).await;
            }
        });
        *state = State::Running(task.abort_handle());
    }

    /// Ends them for good.
    pub(super) fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(task) = std::mem::replace(&mut *state, State::Stopped) {
            task.abort();
        }
    }
}

/// Checks everything once.
pub(super) async fn round<M: PoolMode, P: Purpose>(pool: &Shared<M, P>) {
    let within = pool.settings.check_within;
    pool.conns.evict(None);
    probe_connections(pool, within).await;
    probe_channels(pool, within).await;
    sweep(pool);
    pool.conns.evict(pool.settings.idle);
    if let Err(error) = pool.conns.replace().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "a pool is without connections");
    }
    pool.conns.checks.fetch_add(1, Ordering::Relaxed);
}

/// A round trip on each connection: opening a channel.
async fn probe_connections<M: PoolMode, P: Purpose>(pool: &Shared<M, P>, within: Duration) {
    let mut probes = JoinSet::new();
    for (connection, opening) in pool.conns.probes() {
        let opening = opening.within(within).while_recovering(Hold::FailFast);
        probes.spawn(async move {
            let since = Instant::now();
            let opened = opening.await;
            (connection, since.elapsed(), opened.map(drop))
        });
    }
    while let Some(probed) = probes.join_next().await {
        match probed {
            Ok((connection, round_trip, Ok(()))) => {
                pool.conns.probed(connection, Some(round_trip));
            }
            Ok((connection, _, Err(Error::Timeout { .. }))) => pool.conns.probed(connection, None),
            // The connection's own machine knows more, and deals with it.
            Ok((_, _, Err(_))) | Err(_) => {}
        }
    }
}

/// A round trip on each channel that is not in use and whose connection answers.
async fn probe_channels<M: PoolMode, P: Purpose>(pool: &Shared<M, P>, within: Duration) {
    sweep(pool);
    let mut idle = Vec::new();
    pool.channels.retain(|kept, _| {
        if pool.conns.answers(kept.connection()) {
            idle.push(Arc::clone(&kept.chan));
        }
        true
    });
    let mut probes = JoinSet::new();
    for checked in idle {
        probes.spawn(async move {
            let probe = M::probe(&checked.chan).within(within);
            if let Err(Error::Timeout { .. }) = probe.while_recovering(Hold::FailFast).await {
                checked.is_silent.store(true, Ordering::Relaxed);
            }
        });
    }
    while probes.join_next().await.is_some() {}
}

/// Evicts what is seen to be no good of what is not in use.
fn sweep<M: PoolMode, P: Purpose>(pool: &Shared<M, P>) {
    let keeper = pool.channels.manager();
    let swept = pool.channels.retain(|kept, _| {
        let fault = keeper.fault(kept, pool.settings.idle);
        if let Some(reason) = fault {
            keeper.evict(kept, reason);
        }
        fault.is_none()
    });
    drop(swept);
}
