//! What the tasks of a broker share: the core under its lock, and the bells by which one
//! connection's work wakes another's task.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{net::TcpListener, task::AbortHandle, time::Instant};

use super::{
    ConnectionId,
    bell::Bell,
    core::{ConnId, Core, Refusal},
    event::{Budget, Bus, Ending, Event},
    session::Terms,
};
use crate::{
    fsm::Time,
    wire::{MethodId, ReplyCode},
};

/// The core and what is around it.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) terms: Arc<Terms>,
    /// Where events go.
    bus: Arc<Bus>,
    /// What writes to the store, where there is one.
    #[cfg(feature = "durable")]
    writer: std::sync::OnceLock<super::store::Writer>,
    origin: Instant,
    /// Taken out to stop listening: the ports are free from then on.
    pub(super) listeners: Mutex<BTreeMap<SocketAddr, TcpListener>>,
    /// Those that accept, and the one that keeps time.
    tasks: Mutex<Vec<AbortHandle>>,
    /// Rung when the last connection has ended.
    pub(super) emptied: Bell,
    /// Rung when the core's next deadline comes earlier than the one that is waited for.
    pub(super) clock: Bell,
    /// That deadline, in nanoseconds.
    pub(super) armed: AtomicU64,
    /// A fault: no connection is read from.
    pub(super) deaf: AtomicBool,
    /// A fault: who connects is hung up on.
    pub(super) closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    core: Core,
    connections: HashMap<ConnId, Connection>,
    last: u64,
    wakes: Vec<ConnId>,
    stopped: bool,
}

/// How to reach the task of a connection.
#[derive(Debug)]
struct Connection {
    line: Arc<Line>,
    task: Option<AbortHandle>,
}

/// What the task of a connection is told.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) bell: Bell,
    /// It was cut: its end is nobody else's doing. Set under the lock of the state, so that what
    /// happens after a cut never gets out, although its task ends a little later.
    cut: AtomicBool,
}

impl Line {
    /// Whether the connection was cut; it has neither said nor heard anything since.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

impl Connection {
    /// The task to be ended, without a word to the client.
    fn force(&mut self) -> Option<AbortHandle> {
        self.line.cut.store(true, Ordering::Release);
        self.task.take()
    }
}

impl Shared {
    pub(super) fn new(core: Core, terms: Terms, bus: Arc<Bus>) -> Self {
        Shared {
            state: Mutex::new(State {
                core,
                connections: HashMap::new(),
                last: 0,
                wakes: Vec::new(),
                stopped: false,
            }),
            terms: Arc::new(terms),
            bus,
            #[cfg(feature = "durable")]
            writer: std::sync::OnceLock::new(),
            origin: Instant::now(),
            listeners: Mutex::new(BTreeMap::new()),
            tasks: Mutex::new(Vec::new()),
            emptied: Bell::default(),
            clock: Bell::default(),
            armed: AtomicU64::new(u64::MAX),
            deaf: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// The time, as the core counts it.
    pub(super) fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The instant of a time of the core.
    pub(super) fn instant(&self, time: Time) -> Instant {
        self.origin + time.saturating_since(Time::ZERO)
    }

    /// Changes the core, then wakes the tasks for which that means work. The connection that
    /// asks looks after itself.
    pub(super) fn with<R>(
        &self,
        asks: Option<ConnId>,
        change: impl FnOnce(&mut Core, Time) -> R,
    ) -> R {
        let now = self.now();
        let mut state = self.lock();
        let State { core, connections, wakes, .. } = &mut *state;
        core.journal.watched = self.bus.has_listeners();
        let result = change(core, now);
        core.take_wakes(wakes);
        let lines: Vec<Arc<Line>> = wakes
            .drain(..)
            .filter(|conn| Some(*conn) != asks)
            .filter_map(|conn| {
                connections.get(&conn).map(|connection| Arc::clone(&connection.line))
            })
            .collect();
        let due = core.poll_timeout();
        #[cfg(feature = "durable")]
        let writes = core.has_batch();
        // Under the lock: the order of events is that of the changes.
        let listeners = self.bus.announce(&mut core.journal);
        drop(state);
        listeners.into_iter().for_each(Waker::wake);
        #[cfg(feature = "durable")]
        if writes && let Some(writer) = self.writer.get() {
            writer.wake();
        }
        for line in lines {
            line.bell.ring();
        }
        if due.is_some_and(|due| due.as_nanos() < self.armed.load(Ordering::Acquire)) {
            self.clock.ring();
        }
        result
    }

    /// Keeps what is durable in a store from now on.
    #[cfg(feature = "durable")]
    pub(super) fn keep_in(self: &Arc<Self>, store: super::store::Store) -> std::io::Result<()> {
        let writer = super::store::Writer::start(store, self)?;
        // It is set once, when the broker is bound.
        let _ = self.writer.set(writer);
        Ok(())
    }

    /// Writes what is left to the store, and closes it.
    #[cfg(feature = "durable")]
    pub(super) fn finish(&self) {
        if let Some(writer) = self.writer.get() {
            writer.finish();
        }
    }

    /// Tells whoever listens.
    pub(super) fn announce(&self, event: Event) {
        self.with(None, |core, _| core.journal.note(event));
    }

    /// Notes a connection that was accepted.
    pub(super) fn add(&self) -> (ConnId, Arc<Line>) {
        let mut state = self.lock();
        state.last += 1;
        let conn = ConnId(state.last);
        let line = Arc::new(Line::default());
        let connection = Connection { line: Arc::clone(&line), task: None };
        state.connections.insert(conn, connection);
        (conn, line)
    }

    /// Notes the task of a connection, unless it has ended already.
    pub(super) fn set_task(&self, conn: ConnId, task: AbortHandle) {
        let mut state = self.lock();
        if state.stopped {
            // It was accepted while the broker was dropped: nobody else ends it.
            drop(state);
            task.abort();
        } else if let Some(connection) = state.connections.get_mut(&conn) {
            connection.task = Some(task);
        }
    }

    /// Forgets a connection.
    pub(super) fn remove(&self, conn: ConnId, ending: Ending, exhausted: Option<Budget>) {
        let forced = self.lock().connections.get(&conn).is_some_and(|held| held.line.is_cut());
        let ending = if forced { Ending::Forced } else { ending };
        self.with(Some(conn), |core, now| {
            core.disconnect(conn, now);
            if let Some(budget) = exhausted {
                let connection = ConnectionId(conn);
                core.journal.note(Event::BudgetExhausted { connection, budget });
            }
            core.journal.note(Event::Disconnected { connection: ConnectionId(conn), ending });
        });
        let mut state = self.lock();
        state.connections.remove(&conn);
        if state.connections.is_empty() {
            self.emptied.ring();
        }
    }

    /// Connections, those that have not opened a virtual host yet among them.
    pub(super) fn connection_count(&self) -> usize {
        self.lock().connections.len()
    }

    /// Keeps a task until the broker stops.
    pub(super) fn keep(&self, task: AbortHandle) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Frees the ports.
    pub(super) fn stop_listening(&self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes every open connection with a code and a text.
    pub(super) fn close_connections(&self, code: ReplyCode, text: &str) {
        self.with(None, |core, now| {
            let open: Vec<ConnId> = core.connections().collect();
            for conn in open {
                core.close_connection(conn, Refusal::new(code, text), MethodId::default(), now);
            }
        });
    }

    /// Wakes the tasks of all connections.
    pub(super) fn ring_all(&self) {
        for connection in self.lock().connections.values() {
            connection.line.bell.ring();
        }
    }

    /// Ends a connection by ending its task.
    pub(super) fn cut(&self, conn: ConnId) {
        let task = self.lock().connections.get_mut(&conn).and_then(Connection::force);
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Ends all connections by ending their tasks.
    pub(super) fn cut_all(&self) {
        let tasks: Vec<AbortHandle> =
            self.lock().connections.values_mut().filter_map(Connection::force).collect();
        for task in tasks {
            task.abort();
        }
    }

    /// Stops listening and ends all connections.
    pub(super) fn stop(&self) {
        self.stop_listening();
        self.lock().stopped = true;
        self.cut_all();
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970.
pub(super) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A number that nobody can foresee, for the names that the broker makes.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
