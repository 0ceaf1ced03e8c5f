//! The run-time machine of a connection, made visible: its state, and every change of it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;

use crate::{
    consumer::Next,
    driver::Shared,
    error::Error,
    fsm::supervisor::{Reasons, Stats, Transition},
    proto::{Cause, Change, ChannelKey, Connection, NotRecovered, Traffic, WaiterId},
};

pub use crate::fsm::supervisor::State as ConnectionState;

/// One change of a connection's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The state before.
    pub from: ConnectionState,
    /// The state after.
    pub to: ConnectionState,
    /// What led from one to the other, e.g. `lost`.
    pub event: &'static str,
    /// How long after the connection was made this was.
    pub at: Duration,
    /// Why, where something failed.
    pub cause: Option<Error>,
}

impl StateChange {
    fn new(change: &Change, shared: &Shared) -> Self {
        let Transition { from, to, at, .. } = change.transition;
        let cause = change.cause.as_deref();
        StateChange {
            from,
            to,
            event: change.transition.event(),
            at: at.saturating_since(crate::fsm::Time::ZERO),
            cause: cause.map(|cause| Error::from_cause(cause, shared.last_error())),
        }
    }
}

impl fmt::Display for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.from, self.to, self.event)?;
        match &self.cause {
            Some(cause) => {
                write!(f, ": {cause}")?;
                let mut source = std::error::Error::source(cause);
                while let Some(deeper) = source {
                    write!(f, ": {deeper}")?;
                    source = deeper.source();
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The changes of a connection's state as a stream, from its first dialling on; it ends after the
/// connection has. The last 256 are kept for whoever begins or reads late; nothing waits for it.
///
/// It does not keep the connection alive.
#[must_use = "streams do nothing unless polled"]
pub struct StateChanges {
    shared: Arc<Shared>,
    cursor: u64,
    waiter: Option<WaiterId>,
}

impl StateChanges {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        StateChanges { shared, cursor: 0, waiter: None }
    }

    /// Degrades the connection for reasons of the program's own ([`Reasons::own`]), or since it may
    /// have missed events ([`Reasons::MISSED`]). Other reasons are the connection's to give: ignored.
    pub fn degrade(&self, reasons: Reasons) {
        self.shared.command(|connection, now| connection.degrade(now, reasons));
    }

    /// Takes such reasons back: without any, the connection is connected again. So a program that
    /// has [`Resume::Degraded`](crate::fsm::supervisor::Resume::Degraded) configured says that it has
    /// seen to what it missed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// use hopmq::{Config, Conn, ConnectionState, fsm::supervisor::{Policy, Reasons, Resume}};
    ///
    /// let resume = Resume::Degraded(Reasons::MISSED);
    /// let config: Config = broker.uri().parse()?;
    /// let conn = Conn::new(config.recovery(Policy { resume, ..Policy::default() })).connect().await?;
    /// let mut changes = conn.state_changes();
    /// broker.faults().cut_connections();
    /// while changes.next().await.is_some_and(|change| change.to != ConnectionState::Degraded) {}
    /// // Here the program looks for what it missed.
    /// changes.clear(Reasons::MISSED);
    /// assert_eq!(conn.state(), ConnectionState::Connected);
    /// # Ok(()) }
    /// ```
    pub fn clear(&self, reasons: Reasons) {
        self.shared.command(|connection, now| connection.clear(now, reasons));
    }

    /// What the connection has counted; also after its end.
    pub fn stats(&self) -> ConnectionStats {
        ConnectionStats::of(&self.shared)
    }

    /// The next change; `None` after the end. Dropping the future loses nothing.
    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }
}

impl Drop for StateChanges {
    fn drop(&mut self) {
        self.shared.forget(self.waiter);
    }
}

impl Stream for StateChanges {
    type Item = StateChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StateChange>> {
        let StateChanges { shared, cursor, waiter } = &mut *self;
        let polled = shared.poll_change(cursor, waiter, cx);
        polled.map(|change| change.map(|change| StateChange::new(&change, shared)))
    }
}

impl fmt::Debug for StateChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateChanges").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// Waits for something to be seen of a connection, without keeping it alive.
#[derive(Debug)]
struct Watcher {
    shared: Arc<Shared>,
    waiter: Option<WaiterId>,
}

impl Watcher {
    fn new(shared: Arc<Shared>) -> Self {
        Watcher { shared, waiter: None }
    }

    fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        seen: impl FnOnce(&Connection) -> Option<R>,
    ) -> Poll<R> {
        let Watcher { shared, waiter } = self;
        shared.with(|state| {
            if let Some(seen) = seen(&state.connection) {
                return Poll::Ready(seen);
            }
            if state.waiters.register(waiter, cx.waker())
                && let Some(waiter) = *waiter
            {
                state.connection.watch(waiter);
            }
            Poll::Pending
        })
    }

    /// As [`Watcher::poll`]; the connection's end comes first.
    fn poll_alive<R>(
        &mut self,
        cx: &Context<'_>,
        seen: impl FnOnce(&Connection) -> Option<R>,
    ) -> Poll<Result<R, Error>> {
        let polled = ready!(self.poll(cx, |connection| match connection.ended() {
            Some(cause) => Some(Err(cause.clone())),
            None => seen(connection).map(Ok),
        }));
        Poll::Ready(polled.map_err(|cause| self.error(&cause)))
    }

    fn error(&self, cause: &Cause) -> Error {
        Error::from_cause(cause, self.shared.last_error())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.forget(self.waiter);
    }
}

/// Waits for the end of a connection or channel, and gives its reason; see
/// [`Conn::closed`](crate::Conn::closed) and [`Chan::closed`](crate::Chan::closed).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Ended {
    watcher: Watcher,
    /// `None`: the connection's end.
    chan: Option<ChannelKey>,
}

impl Ended {
    pub(crate) fn of_connection(shared: Arc<Shared>) -> Self {
        Ended { watcher: Watcher::new(shared), chan: None }
    }

    pub(crate) fn of_channel(shared: Arc<Shared>, key: ChannelKey) -> Self {
        Ended { watcher: Watcher::new(shared), chan: Some(key) }
    }
}

impl Future for Ended {
    type Output = Error;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let Ended { watcher, chan } = &mut *self;
        let cause = ready!(watcher.poll(cx, |connection| match chan {
            Some(key) => connection.channel_ended(*key),
            None => connection.ended().cloned(),
        }));
        Poll::Ready(watcher.error(&cause))
    }
}

/// Waits until publishers are blocked; see [`Conn::blocked`](crate::Conn::blocked).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Blocked {
    watcher: Watcher,
}

impl Blocked {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Blocked { watcher: Watcher::new(shared) }
    }
}

impl Future for Blocked {
    type Output = Result<Arc<str>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.watcher.poll_alive(cx, |connection| connection.blocked().cloned())
    }
}

/// Waits until publishers are not blocked; see [`Conn::unblocked`](crate::Conn::unblocked).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Unblocked {
    watcher: Watcher,
}

impl Unblocked {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Unblocked { watcher: Watcher::new(shared) }
    }
}

impl Future for Unblocked {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.watcher.poll_alive(cx, |connection| connection.blocked().is_none().then_some(()))
    }
}

/// What a connection has counted since it was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// The current state.
    pub state: ConnectionState,
    /// For how long it has been in it.
    pub in_state: Duration,
    /// Why it is degraded, or will be when it is back.
    pub reasons: Reasons,
    /// The state before.
    pub previous: Option<ConnectionState>,
    /// What the machine has handled last in its state, e.g. `degrade`; nothing since it entered it.
    pub last_event: Option<&'static str>,
    /// What the machine has counted: transitions, attempts, failures, recoveries, time per state.
    pub machine: Stats,
    /// Messages that were published again after a lost connection
    /// ([`Publish::at_least_once`](crate::Publish::at_least_once)).
    pub replayed: u64,
    /// Publishes that the broker has not answered yet.
    pub unconfirmed: usize,
    /// Deliveries that consumers have taken and that are not settled yet.
    pub unsettled: usize,
    /// Channels that are open.
    pub channels: usize,
    /// Messages and bytes, both ways.
    pub traffic: Traffic,
    /// Bytes that wait for the socket.
    pub outbound_bytes: usize,
    /// Bytes of deliveries that wait for their consumers.
    pub inbound_bytes: usize,
    /// Whether the broker blocks publishers.
    pub is_blocked: bool,
    /// Entities that could not be declared again yet, with the broker's answer. They are tried again
    /// with the policy's backoff; meanwhile the connection is degraded.
    pub not_recovered: Vec<NotRecovered>,
    /// The last failure.
    pub last_error: Option<Error>,
}

impl ConnectionStats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let now = shared.now();
        let last_error = shared.last_error();
        shared.look(|connection| ConnectionStats {
            state: connection.supervisor().state(),
            in_state: connection.supervisor().time_in_state(now),
            reasons: connection.supervisor().reasons(),
            previous: connection.supervisor().machine().context().previous(),
            last_event: connection.supervisor().machine().context().last().map(|on| on.name()),
            machine: connection.supervisor().stats(now),
            replayed: connection.replayed(),
            unconfirmed: connection.unconfirmed(),
            unsettled: connection.unsettled(),
            channels: connection.open_channels(),
            traffic: connection.traffic(),
            outbound_bytes: connection.output_len(),
            inbound_bytes: connection.waiting_len(),
            is_blocked: connection.blocked().is_some(),
            not_recovered: connection.not_recovered(),
            last_error: connection
                .last_cause()
                .map(|cause| Error::from_cause(cause, last_error.clone())),
        })
    }
}
