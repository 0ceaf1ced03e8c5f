//! What the handles of a connection and its task share: the pure connection under one mutex.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    io,
    sync::{Arc, PoisonError, Weak, atomic},
    task::{Context, Poll, Waker},
};

use tokio::time::Instant;
use tracing::Span;

use super::{
    history::History,
    names::{Names, Renamed},
    stand_in::{self, Looked},
    sync::{AtomicU64, Mutex, MutexGuard},
    trace,
    untaken::{AllUntaken, Untaken},
    waiters::Waiters,
};
use crate::{
    fsm::Time,
    proto::{
        Accepted, Arrival, CallError, CallId, Change, ChannelKey, Connection, ConsumerEnd,
        ConsumerKey, Encoded, Interruption, Outcome, Reply, ReturnedContent, Route, SettleError,
        Settlement, WaiterId, Wakes,
    },
    wire::ShortString,
};

/// One connection, as its handles and its task see it.
#[allow(unreachable_pub)] // See `driver`.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    /// The origin of the connection's [`Time`].
    origin: Instant,
    /// Tells connections of this process apart, in logs and tokens.
    id: u64,
    /// For jitter and the order of hosts.
    seed: u64,
    names: Names,
    untaken: AllUntaken,
    /// Until it is looked after.
    looked: Mutex<Option<Looked>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connection: Connection,
    pub(crate) waiters: Waiters,
    /// The connection's task, while it sleeps.
    pub(crate) task: Option<Waker>,
    /// The last error of the socket, with its sources, for those who ask.
    pub(crate) last_error: Option<Arc<io::Error>>,
    pub(crate) history: History,
    /// Of the stay in the current state.
    span: Span,
    woken: Wakes,
}

static NEXT_ID: atomic::AtomicU64 = atomic::AtomicU64::new(1);

impl Shared {
    pub(super) fn around(connection: Connection, seed: u64) -> Arc<Self> {
        let id = NEXT_ID.fetch_add(1, atomic::Ordering::Relaxed);
        let span = trace::span(connection.supervisor().state(), id);
        Arc::new(Shared {
            state: Mutex::new(State {
                connection,
                waiters: Waiters::default(),
                task: None,
                last_error: None,
                history: History::default(),
                span,
                woken: Wakes::new(),
            }),
            origin: Instant::now(),
            id,
            seed,
            names: Names::default(),
            untaken: AllUntaken::default(),
            looked: Mutex::default(),
        })
    }

    /// A seed that differs from process to process and from call to call.
    pub(super) fn fresh_seed() -> u64 {
        // The standard library's hasher is keyed at random, which is all that jitter needs.
        RandomState::new().hash_one(NEXT_ID.load(atomic::Ordering::Relaxed))
    }

    /// The connection's seed.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The connection's number in this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    pub(crate) fn time(&self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.origin)
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.origin + time.saturating_since(Time::ZERO)
    }

    /// Changes the connection, then wakes whom that concerns, outside the lock.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        self.note_transitions(&mut state);
        let task = if state.connection.has_output() { state.task.take() } else { None };
        while let Some((old, new)) = state.connection.poll_renamed() {
            self.names.rename(&old, &new);
        }
        let (first, others) = state.take_wakers();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        for waker in first.into_iter().chain(others) {
            waker.wake();
        }
        result
    }

    /// Like [`Shared::with`], for what every message does: it only adds to what is to be written, so
    /// nobody is to be woken but the task.
    #[inline]
    fn append<R>(&self, append: impl FnOnce(&mut Connection, &mut Waiters) -> R) -> R {
        let mut state = self.lock();
        let State { connection, waiters, task, .. } = &mut *state;
        let result = append(connection, waiters);
        let task = if task.is_some() && connection.has_output() { task.take() } else { None };
        debug_assert!(!connection.has_wakes(), "a message wakes nobody");
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// Whether the task may sleep, which has written all that it had if it `can_write`, and has not read
    /// for its consumers' sake if it `paused`. From here on whoever has something for it wakes it; what
    /// came in since its last look is seen now.
    pub(super) fn may_sleep(&self, waker: &Waker, can_write: bool, paused: bool) -> bool {
        let mut state = self.lock();
        match &mut state.task {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        let connection = &state.connection;
        let has_work = connection.has_actions()
            || (can_write && connection.has_output())
            || (paused && connection.wants_read());
        !has_work
    }

    /// Keeps what has changed for those who watch, and logs it.
    fn note_transitions(&self, state: &mut State) {
        while let Some(change) = state.connection.poll_transition() {
            state.span = trace::transition(&state.span, &change, self.id);
            state.history.push(change);
        }
        while let Some(report) = state.connection.poll_entity_report() {
            trace::entity(&state.span, report, self.id);
        }
    }

    /// While the connection drains: so many deliveries nobody has seen. Gives whether it went on.
    pub(super) fn drain(&self) -> bool {
        if !self.look(|connection| connection.is_draining()) {
            return false;
        }
        let (now, untaken) = (self.now(), self.untaken.sum());
        self.with(|state| state.connection.are_untaken(now, untaken))
    }

    /// Counts what a consumer takes and does not hand out.
    pub(crate) fn count_untaken(&self) -> Untaken {
        self.untaken.count()
    }

    /// The next change of state after those that this watcher has seen; `None` after the end.
    pub(crate) fn poll_change(
        &self,
        cursor: &mut u64,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Option<Arc<Change>>> {
        let mut state = self.lock();
        let State { connection, waiters, history, .. } = &mut *state;
        if let Some(change) = history.next(cursor) {
            return Poll::Ready(Some(change));
        }
        if connection.ended().is_some() {
            return Poll::Ready(None);
        }
        if waiters.register(held, cx.waker())
            && let Some(waiter) = *held
        {
            connection.watch(waiter);
        }
        Poll::Pending
    }

    /// Like [`Shared::with`], and wakes the task whatever came of it: for what has a deadline.
    pub(crate) fn command<R>(&self, command: impl FnOnce(&mut Connection, Time) -> R) -> R {
        let now = self.now();
        let (result, task) =
            self.with(|state| (command(&mut state.connection, now), state.task.take()));
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    pub(super) fn can_be_looked_after(&self, looked: Option<Looked>) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = looked;
    }

    /// Handlers are going to run: one that blocks its worker must not cost the connection.
    pub(crate) fn expect_handlers(&self) {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(looked) = looked {
            stand_in::look_after(looked);
        }
    }

    /// Keeps the holder of a name that the broker chose informed, of what came before this too.
    pub(crate) fn keep_name(&self, name: &ShortString, holder: Weak<dyn Renamed>) {
        self.names.keep(holder.clone());
        let now = self.look(|connection| connection.queue_name_now(name).cloned());
        if let (Some(now), Some(holder)) = (now, holder.upgrade()) {
            holder.renamed(name, &now);
        }
    }

    /// Looks, and changes nothing.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Connection) -> R) -> R {
        look(&self.lock().connection)
    }

    /// The last error of the socket.
    pub(crate) fn last_error(&self) -> Option<Arc<io::Error>> {
        self.lock().last_error.clone()
    }

    pub(crate) fn poll_call(
        &self,
        call: CallId,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Result<Reply, CallError>> {
        let mut state = self.lock();
        let State { connection, waiters, .. } = &mut *state;
        connection.poll_call(call, || waiters.id(held, cx.waker()))
    }

    /// Deliveries of a consumer, or its end.
    pub(crate) fn poll_consumer(
        &self,
        key: ConsumerKey,
        into: &mut VecDeque<Arrival>,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Option<ConsumerEnd>> {
        let mut state = self.lock();
        let State { connection, waiters, task, .. } = &mut *state;
        let was_reading = connection.wants_read();
        let polled = connection.poll_consumer(key, into, || waiters.id(held, cx.waker()));
        // A consumer that has caught up lets the task read again.
        let resumed = if was_reading != connection.wants_read() { task.take() } else { None };
        drop(state);
        if let Some(task) = resumed {
            task.wake();
        }
        polled
    }

    /// What interrupted a consumer next; nothing when it has ended.
    pub(crate) fn poll_interruption(
        &self,
        key: ConsumerKey,
        cursor: &mut u64,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Option<Interruption>> {
        let mut state = self.lock();
        let State { connection, waiters, .. } = &mut *state;
        connection.poll_interruption(key, cursor, || {
            waiters.register(held, cx.waker()).then_some(*held).flatten()
        })
    }

    /// The outcome of a publish. Notes up to where the others are confirmed, so that they need not ask.
    pub(crate) fn poll_confirm(
        &self,
        key: ChannelKey,
        tag: u64,
        confirmed_below: &AtomicU64,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Outcome> {
        let mut state = self.lock();
        let State { connection, waiters, .. } = &mut *state;
        let polled = connection.poll_confirm(key, tag, || waiters.id(held, cx.waker()));
        if polled.is_ready() {
            confirmed_below.fetch_max(connection.confirmed_below(key), atomic::Ordering::Relaxed);
        }
        polled
    }

    /// Hands a message over, or keeps the waker for when there is room.
    #[inline]
    pub(crate) fn poll_publish(
        &self,
        key: ChannelKey,
        route: &Route<'_>,
        message: &Encoded<'_>,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Result<Accepted, CallError> {
        self.publishing(held, cx, |connection, waiter| {
            Ok(connection.publishing(key, route)?.publish(message, || self.now(), waiter))
        })
    }

    /// Publishes under one lock, with what keeps the waker for when there is room.
    #[inline]
    pub(crate) fn publishing<R>(
        &self,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
        publish: impl FnOnce(&mut Connection, &mut dyn FnMut() -> Option<WaiterId>) -> R,
    ) -> R {
        self.append(|connection, waiters| {
            publish(connection, &mut || {
                waiters.register(held, cx.waker()).then_some(*held).flatten()
            })
        })
    }

    /// Messages that were returned to a channel without confirms.
    pub(crate) fn poll_returned(
        &self,
        key: ChannelKey,
        held: &mut Option<WaiterId>,
        cx: &Context<'_>,
    ) -> Poll<Option<ReturnedContent>> {
        let mut state = self.lock();
        let State { connection, waiters, .. } = &mut *state;
        connection.poll_returned(key, || waiters.id(held, cx.waker()))
    }

    /// Whoever waited under this id is gone.
    #[inline]
    pub(crate) fn forget(&self, waiter: Option<WaiterId>) {
        if let Some(waiter) = waiter {
            self.forget_waiter(waiter);
        }
    }

    fn forget_waiter(&self, waiter: WaiterId) {
        let mut state = self.lock();
        // Used up already where it was woken.
        if state.waiters.take(waiter).is_some() {
            state.connection.forget_waiter(waiter);
        }
    }

    /// Settles a delivery.
    pub(crate) fn settle(
        &self,
        key: ChannelKey,
        epoch: u32,
        tag: u64,
        how: Settlement,
    ) -> Result<(), SettleError> {
        self.append(|connection, _| connection.settle(key, epoch, tag, how))
    }

    /// A channel handle is gone.
    pub(crate) fn release_channel(&self, key: ChannelKey) {
        self.command(|connection, now| connection.release_channel(now, key));
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the state is still whole,
        // for the machine changes by one step at a time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The wakers of those who are to be woken. No allocation for none or one, the usual cases.
    fn take_wakers(&mut self) -> (Option<Waker>, Vec<Waker>) {
        if !self.connection.has_wakes() {
            return (None, Vec::new());
        }
        self.connection.take_wakes(&mut self.woken);
        let waiters = &mut self.waiters;
        let mut wakers = self.woken.drain(..).filter_map(|id| waiters.take(id));
        (wakers.next(), wakers.collect())
    }
}

impl Waiters {
    /// The id under which this waker is kept.
    pub(crate) fn id(&mut self, held: &mut Option<WaiterId>, waker: &Waker) -> WaiterId {
        self.register(held, waker);
        held.unwrap_or(WaiterId { index: u32::MAX, generation: 0 })
    }
}
