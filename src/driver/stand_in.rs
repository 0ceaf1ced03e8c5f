//! Drives a connection while the worker that should is blocked.
//!
//! A handler that blocks a worker of tokio's multi-thread runtime may hold up more than itself: what
//! it woke last (with an ack, say, the connection's task) waits in that worker's own slot, from which
//! no other worker takes it; and where this worker looked after sockets and timers, nobody does until
//! another one is woken. The heartbeats of a healthy connection would stop, and the broker would close
//! it. Only something outside of the runtime can notice that. So in a process that consumes one thread
//! for all connections looks a few times per heartbeat interval, and where a connection has not done
//! what was due, another worker drives it until its own task runs again. Connections without a
//! consumer have no part in it, and the thread ends with the last that had one.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::AbortHandle,
};

use super::{shared::Shared, task::Task};

/// A task is looked after so many times per heartbeat interval, and is late by one of them.
const LOOKS: u32 = 8;

/// Nobody is looked after less often: a new connection may have a shorter interval.
const AT_MOST: Duration = Duration::from_secs(1);

/// Nor more often.
const AT_LEAST: Duration = Duration::from_millis(20);

/// What the thread does: sleep, and lock a little.
const STACK: usize = 128 * 1024;

/// The task of one connection, which one at a time drives.
struct Driven {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

struct Inner {
    task: Task,
    over: bool,
    /// How many times the connection's own task has run.
    runs: u64,
    own: Waker,
    stand_in: Option<AbortHandle>,
}

/// Starts the task. Gives by what it can be looked after, where there are other workers to drive it.
pub(super) fn start(runtime: &Handle, shared: Arc<Shared>, task: Task) -> Option<Looked> {
    let own = Waker::noop().clone();
    let inner = Mutex::new(Inner { task, over: false, runs: 0, own, stand_in: None });
    let driven = Arc::new(Driven { shared, inner });
    let looked = Looked { driven: Arc::downgrade(&driven), runtime: runtime.clone() };
    runtime.spawn(Own(driven));
    (runtime.runtime_flavor() == RuntimeFlavor::MultiThread).then_some(looked)
}

impl Driven {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has another worker drive the connection if it is late. Gives when to look again.
    fn look(self: &Arc<Self>, runtime: &Handle) -> Duration {
        let (interval, due) = self.shared.look(|connection| {
            let interval = connection.negotiated().map(|negotiated| negotiated.heartbeat);
            (interval.unwrap_or_default(), connection.poll_timeout())
        });
        if interval.is_zero() {
            return AT_MOST;
        }
        let look = (interval / LOOKS).clamp(AT_LEAST, AT_MOST);
        if due.is_some_and(|due| due + look < self.shared.now()) {
            self.stand_in(runtime);
        }
        look
    }

    fn stand_in(self: &Arc<Self>, runtime: &Handle) {
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // It is being driven at this moment.
            Err(TryLockError::WouldBlock) => return,
        };
        if inner.over || inner.stand_in.as_ref().is_some_and(|other| !other.is_finished()) {
            return;
        }
        tracing::debug!(connection = self.shared.id(), "a worker is blocked: another stands in");
        let stand_in = StandIn { driven: self.clone(), runs: inner.runs };
        // From outside of the runtime: a task that is spawned so goes to a worker that is free.
        inner.stand_in = Some(runtime.spawn(stand_in).abort_handle());
    }
}

impl Inner {
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.over {
            self.over = Pin::new(&mut self.task).poll(cx).is_ready();
        }
        if self.over { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The connection's own task.
struct Own(Arc<Driven>);

impl Future for Own {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock();
        inner.runs += 1;
        inner.own.clone_from(cx.waker());
        // What has wakers has this one's again when the lock is released.
        if let Some(stand_in) = inner.stand_in.take() {
            stand_in.abort();
        }
        inner.drive(cx)
    }
}

struct StandIn {
    driven: Arc<Driven>,
    runs: u64,
}

impl Future for StandIn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.driven.lock();
        if inner.runs != self.runs {
            return Poll::Ready(());
        }
        let driven = inner.drive(cx);
        // As soon as it can run, it takes over.
        inner.own.wake_by_ref();
        driven
    }
}

// --- the thread ---

/// A connection that is looked after, and its runtime.
#[derive(Debug)]
pub(super) struct Looked {
    driven: Weak<Driven>,
    runtime: Handle,
}

struct Watch {
    all: Vec<Looked>,
    running: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { all: Vec::new(), running: false });

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, until the connection has ended.
pub(super) fn look_after(looked: Looked) {
    let mut watch = watch();
    watch.all.push(looked);
    if !watch.running {
        let thread = thread::Builder::new().name("hopmq-stand-in".to_owned()).stack_size(STACK);
        // Without the thread a blocked worker is what it always was.
        watch.running = thread.spawn(run).is_ok();
    }
}

fn run() {
    while let Some(pause) = look_at_all() {
        thread::sleep(pause);
    }
}

/// Gives when to look again, while there is anything to look after.
fn look_at_all() -> Option<Duration> {
    let mut watch = watch();
    watch.all.retain(|looked| looked.driven.strong_count() > 0);
    if watch.all.is_empty() {
        watch.running = false;
        return None;
    }
    let all: Vec<_> = watch
        .all
        .iter()
        .filter_map(|looked| Some((looked.driven.upgrade()?, looked.runtime.clone())))
        .collect();
    drop(watch);
    Some(all.iter().map(|(driven, runtime)| driven.look(runtime)).fold(AT_MOST, Duration::min))
}
