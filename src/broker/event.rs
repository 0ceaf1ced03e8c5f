//! What a broker announces: a stream of events, and hooks.
//!
//! Events gather under the broker's one lock, so their order is the order in which things
//! happened. Whoever does not keep up misses some and is told how many: nobody waits for a
//! listener.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use futures_core::Stream;

use super::{
    Broker, BrokerState, ConnectionId, HoldsState, IsListening, Listening, shared::Shared,
};
use crate::wire::ReplyCode;

/// Something that happened at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client has connected to a port; its queue of outgoing frames is ready.
    Accepted {
        /// The connection.
        connection: ConnectionId,
        /// The port it came to.
        port: SocketAddr,
        /// Where it comes from.
        from: SocketAddr,
    },
    /// A client was turned away before a word was said.
    TurnedAway {
        /// Where it came from.
        from: SocketAddr,
    },
    /// This broker has connected to a remote one, and the queue between them stands.
    Connected {
        /// The remote's address or name.
        remote: String,
    },
    /// A remote broker could not be reached, or refused this one.
    NotConnected {
        /// The remote's address or name.
        remote: String,
        /// Why.
        reason: String,
    },
    /// The queue to a remote broker has ended.
    DisconnectedFrom {
        /// The remote's address or name.
        remote: String,
        /// How it ended.
        ending: Ending,
    },
    /// A user has logged in.
    Authenticated {
        /// The connection.
        connection: ConnectionId,
        /// The user.
        user: String,
    },
    /// A login was denied.
    LoginDenied {
        /// The connection.
        connection: ConnectionId,
        /// The user that it claimed to be; empty where the claim could not be read.
        user: String,
    },
    /// A connection has opened a virtual host.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// The virtual host.
        vhost: String,
    },
    /// A channel was opened.
    ChannelOpened {
        /// The connection.
        connection: ConnectionId,
        /// The channel's number.
        channel: u16,
    },
    /// A channel has ended: by the client, by the broker, or with its connection.
    ChannelClosed {
        /// The connection.
        connection: ConnectionId,
        /// The channel's number.
        channel: u16,
    },
    /// A message has arrived from a client.
    Arrived {
        /// The connection.
        connection: ConnectionId,
        /// The channel.
        channel: u16,
        /// The exchange it was published to.
        exchange: String,
        /// Its routing key.
        routing_key: String,
        /// Octets of its body.
        size: usize,
    },
    /// A message goes out to a client: delivered, polled or returned.
    Sent {
        /// The connection.
        connection: ConnectionId,
        /// The channel.
        channel: u16,
        /// The exchange it was published to.
        exchange: String,
        /// Its routing key.
        routing_key: String,
        /// Octets of its body.
        size: usize,
    },
    /// The broker has refused an operation, and closed the channel or the connection for it.
    Refused {
        /// The connection.
        connection: ConnectionId,
        /// The channel; zero is the connection itself.
        channel: u16,
        /// The reply code.
        code: ReplyCode,
        /// The reply text.
        text: String,
    },
    /// A user may not do what was asked for.
    PermissionRefused {
        /// The connection.
        connection: ConnectionId,
        /// The user.
        user: String,
        /// The reply text.
        text: String,
    },
    /// A client has used up a budget.
    BudgetExhausted {
        /// The connection.
        connection: ConnectionId,
        /// Which.
        budget: Budget,
    },
    /// Memory is short: publishers are blocked.
    AlarmRaised,
    /// Memory is no longer short.
    AlarmCleared,
    /// What is durable could not be stored; it is tried again, and confirms wait.
    NotStored {
        /// Why.
        reason: String,
    },
    /// A connection has ended.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
        /// How.
        ending: Ending,
    },
    /// So many events were dropped, since the listener did not keep up.
    Lagged(u64),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The other side closed it in good order.
    ByPeer,
    /// The broker closed it with this code and text.
    ByBroker {
        /// The reply code.
        code: ReplyCode,
        /// The reply text.
        text: String,
    },
    /// It was cut here, without a word.
    Forced,
    /// The other side said nothing for too long.
    TimedOut,
    /// The socket ended without a word from the other side.
    Lost,
}

/// What clients have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Budget {
    /// The time until a virtual host is open.
    HandshakeTime,
    /// The octets that a client may send before it has logged in.
    HandshakeSize,
    /// The size of a frame.
    FrameSize,
    /// The size of a message.
    MessageSize,
    /// What the messages of one transaction take.
    Transaction,
    /// The number of channels.
    Channels,
    /// The time in which a delivery is to be settled.
    AcknowledgementTime,
}

/// How often things happened since the broker was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Clients that were turned away before a word was said.
    pub turned_away: u64,
    /// Logins.
    pub authenticated: u64,
    /// Logins that were denied.
    pub logins_denied: u64,
    /// Channels that were opened.
    pub channels_opened: u64,
    /// Channels that have ended.
    pub channels_closed: u64,
    /// Messages that have arrived from clients.
    pub arrived: u64,
    /// Operations that were refused, for want of permissions too.
    pub refused: u64,
    /// Operations that were refused for want of permissions.
    pub permissions_refused: u64,
    /// Budgets that clients used up.
    pub budgets_exhausted: u64,
    /// Connections that have ended.
    pub disconnected: u64,
}

impl Counts {
    fn add(&mut self, event: &Event) {
        let count = match event {
            Event::Accepted { .. } => &mut self.accepted,
            Event::TurnedAway { .. } => &mut self.turned_away,
            Event::Authenticated { .. } => &mut self.authenticated,
            Event::LoginDenied { .. } => &mut self.logins_denied,
            Event::ChannelOpened { .. } => &mut self.channels_opened,
            Event::ChannelClosed { .. } => &mut self.channels_closed,
            Event::Refused { .. } => &mut self.refused,
            Event::PermissionRefused { .. } => &mut self.permissions_refused,
            Event::BudgetExhausted { .. } => &mut self.budgets_exhausted,
            Event::Disconnected { .. } => &mut self.disconnected,
            _ => return,
        };
        *count += 1;
    }
}

/// Where the core notes what happened, for whoever listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// Whether anybody listens. Where not, events are counted and forgotten.
    pub(crate) watched: bool,
    pub(crate) counts: Counts,
    events: Vec<Event>,
}

impl Journal {
    pub(crate) fn note(&mut self, event: Event) {
        self.counts.add(&event);
        if self.watched {
            self.events.push(event);
        }
    }
}

/// Events on their way to whoever listens: one ring, and each listener's place in it.
pub(super) struct Bus {
    listeners: AtomicUsize,
    ring: Mutex<Ring>,
    capacity: usize,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Event>,
    /// The number of the first event in the ring.
    first: u64,
    wakers: Vec<Waker>,
    /// No broker announces anything any more.
    closed: bool,
}

impl Bus {
    pub(super) fn new(capacity: usize) -> Self {
        Bus { listeners: AtomicUsize::new(0), ring: Mutex::default(), capacity: capacity.max(1) }
    }

    pub(super) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Announces what was noted; returns who is to be woken for it.
    pub(super) fn announce(&self, journal: &mut Journal) -> Vec<Waker> {
        if journal.events.is_empty() {
            return Vec::new();
        }
        let mut ring = self.lock();
        for event in journal.events.drain(..) {
            if ring.events.len() == self.capacity {
                ring.events.pop_front();
                ring.first += 1;
            }
            ring.events.push_back(event);
        }
        std::mem::take(&mut ring.wakers)
    }

    /// Nothing comes any more: streams end.
    fn close(&self) {
        let mut ring = self.lock();
        ring.closed = true;
        let wakers = std::mem::take(&mut ring.wakers);
        drop(ring);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// A broker's end of the bus: who listens is told when it goes.
#[derive(Debug)]
pub(super) struct Source(pub(super) Arc<Bus>);

impl Source {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Source(Arc::new(Bus::new(capacity))))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The events of a broker from the call of [`Broker::events`] on, as a stream. It ends when the
/// broker is dropped.
#[must_use = "events that nobody takes are dropped"]
pub struct Events {
    bus: Arc<Bus>,
    /// The number of the event that comes next.
    next: u64,
}

impl Events {
    fn new(bus: &Arc<Bus>) -> Self {
        bus.listeners.fetch_add(1, Ordering::Relaxed);
        let ring = bus.lock();
        let next = ring.first + ring.events.len() as u64;
        drop(ring);
        Events { bus: Arc::clone(bus), next }
    }

    /// The next event; `None` once the broker was dropped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll(context)).await
    }

    /// An event that has happened already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut ring = self.bus.lock();
        if let Some(missed) = ring.first.checked_sub(self.next).filter(|missed| *missed > 0) {
            self.next = ring.first;
            return Poll::Ready(Some(Event::Lagged(missed)));
        }
        let place = usize::try_from(self.next - ring.first).unwrap_or(usize::MAX);
        if let Some(event) = ring.events.get(place) {
            self.next += 1;
            return Poll::Ready(Some(event.clone()));
        }
        if ring.closed {
            return Poll::Ready(None);
        }
        if !ring.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            ring.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.bus.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<S: BrokerState> Broker<S> {
    /// What happens from now on. Before the broker is bound, it is everything.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hopmq::{Conn, Uri, broker::{Broker, Event}};
    ///
    /// let broker = Broker::bind("127.0.0.1:0").await?;
    /// let mut events = broker.events();
    /// let conn = Conn::new(broker.uri().parse::<Uri>()?).connect().await?;
    /// assert!(matches!(events.next().await, Some(Event::Accepted { .. })));
    /// assert!(matches!(events.next().await, Some(Event::Authenticated { user, .. }) if user == "guest"));
    /// # drop(conn);
    /// # Ok(()) }
    /// ```
    ///
    /// At most [`event_buffer`](super::Builder::event_buffer) events wait to be taken; who is
    /// slower than that finds [`Event::Lagged`] with the number of those that were dropped.
    pub fn events(&self) -> Events {
        Events::new(&S::plan(&self.inner).source.0)
    }

    /// Calls `hook` with every event from now on, until the broker is dropped. It has a thread of
    /// its own: whatever it does, and however long it takes, the broker goes on. What it misses
    /// meanwhile it is told as [`Event::Lagged`].
    ///
    /// # Errors
    /// What the operating system says where it has no thread to give.
    pub fn on_event(&self, mut hook: impl FnMut(Event) + Send + 'static) -> std::io::Result<()> {
        let mut events = self.events();
        let run = move || {
            while let Some(event) = blocking_next(&mut events) {
                hook(event);
            }
        };
        thread::Builder::new().name("hopmq-events".to_owned()).spawn(run).map(drop)
    }

    /// How often things happened since it was bound.
    pub fn counts(&self) -> Counts
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.journal.counts)
    }
}

/// Tells a broker's listeners what happens beside it, at its queues to other brokers.
#[derive(Clone, Debug)]
pub(crate) struct Announcer(Weak<Shared>);

impl Announcer {
    /// Tells whoever listens, while the broker is there.
    pub(crate) fn announce(&self, event: Event) {
        if let Some(shared) = self.0.upgrade() {
            shared.announce(event);
        }
    }
}

impl Broker<Listening> {
    /// Tells this broker's listeners, and does not keep it alive.
    pub(crate) fn announcer(&self) -> Announcer {
        Announcer(Arc::downgrade(&self.listening().shared))
    }
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn blocking_next(events: &mut Events) -> Option<Event> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut next = pin!(events.next());
    loop {
        match next.as_mut().poll(&mut context) {
            Poll::Ready(event) => return event,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_is_told_how_much_was_missed() {
        let bus = Arc::new(Bus::new(3));
        let mut events = Events::new(&bus);
        let mut journal = Journal { watched: true, ..Journal::default() };
        for _ in 0..5 {
            journal.note(Event::AlarmRaised);
        }
        journal.note(Event::AlarmCleared);
        bus.announce(&mut journal);
        assert_eq!(events.try_next(), Some(Event::Lagged(3)));
        assert_eq!(events.try_next(), Some(Event::AlarmRaised));
        assert_eq!(events.try_next(), Some(Event::AlarmRaised));
        assert_eq!(events.try_next(), Some(Event::AlarmCleared));
        assert_eq!(events.try_next(), None);
        assert!(bus.lock().events.len() <= 3);
    }

    #[test]
    fn without_listeners_events_are_counted_and_forgotten() {
        let mut journal = Journal::default();
        journal.note(Event::TurnedAway { from: ([127, 0, 0, 1], 1).into() });
        assert_eq!((journal.counts.turned_away, journal.events.len()), (1, 0));
    }
}
