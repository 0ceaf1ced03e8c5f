//! A peer: a program under a name, that listens and connects.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    accept::{self, Acceptor, Admitted, Door, Hello, is_busy, is_name, queue_name},
    carry::{Either, FAREWELL, Session, Way, carry, either},
    core::{Frame, Position},
    error::{ListenError, Refused},
    events::{PeerEvent, PeerEvents, Teller},
    frame, in_process,
    queue::{MessageQueue, QueueId},
    settings::Settings,
    shared::Shared,
};
use crate::{
    broker::{Broker, Listening},
    chan::Open,
    config::Config,
    message::Message,
};

/// How long a hello may go unanswered until it is said again.
const HELLO_AGAIN: Duration = Duration::from_secs(1);

/// A program under a name, that has queues to others.
///
/// It listens where it is told to, in several places if wanted, and connects to others; listening is
/// not needed for that. Dropping it stops listening; its queues go on.
#[derive(Debug)]
pub struct Peer {
    acceptor: Arc<Acceptor>,
    settings: Settings,
    teller: Teller,
    queues: tokio::sync::Mutex<mpsc::Receiver<MessageQueue<Open>>>,
    listening: Mutex<Vec<AbortHandle>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        for task in self.listening.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Peer {
    /// A peer of that name, with the default [`Settings`]. The name has 1 to 64 bytes; another one
    /// is refused when it is used.
    pub fn new(name: impl Into<String>) -> Peer {
        Peer::with_settings(name, Settings::default())
    }

    /// A peer with these bounds and deadlines.
    pub fn with_settings(name: impl Into<String>, settings: Settings) -> Peer {
        let teller = Teller::new();
        let (backlog, queues) = mpsc::channel(settings.backlog.max(1));
        let acceptor = Acceptor::new(name.into(), settings, teller.clone(), backlog);
        Peer {
            acceptor: Arc::new(acceptor),
            settings,
            teller,
            queues: tokio::sync::Mutex::new(queues),
            listening: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.acceptor.name()
    }

    /// Listens at an embedded broker of this process: whoever reaches one of its ports, and may log
    /// in there, can connect. It logs in itself as the broker's first user. Where the broker was bound
    /// with TLS first, [`listen_at`](Peer::listen_at) its address with a configuration that trusts
    /// its certificate.
    ///
    /// The broker's own [listeners](Broker::events) are then told, too, when this peer connects to
    /// another one, is refused, or a queue ends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen_on(&self, broker: &Broker<Listening>) -> Result<(), ListenError> {
        let config = broker.uri().parse::<Config>().map_err(|_| ListenError::NoAddress)?;
        self.teller.also_at(broker);
        self.listen_at(config).await
    }

    /// Listens at a broker elsewhere, such as a RabbitMQ where this peer and others meet. It needs
    /// permission to configure, write and read queues whose names begin with `hopmq.`, and to write
    /// to the default exchange.
    ///
    /// When that broker is lost, it is dialled again until it is back.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen_at(&self, broker: impl Into<Config>) -> Result<(), ListenError> {
        self.check_name()?;
        let config = broker.into();
        let door = Door::open(&config, self.name()).await?;
        let task = tokio::spawn(accept::keep_open(door, config, Arc::clone(&self.acceptor)));
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
        Ok(())
    }

    /// Listens within this process: others find it by its name, without a port and without a
    /// broker.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen_in_process(&self) -> Result<(), ListenError> {
        self.check_name()?;
        match in_process::listen(&self.acceptor) {
            true => Ok(()),
            false => Err(ListenError::NameTaken { name: self.name().to_owned() }),
        }
    }

    /// Waits until another peer has connected, and gives the queue to it. Dropping the future loses
    /// nothing.
    ///
    /// A queue that nobody accepts is ready nevertheless: what the other side sends waits in it.
    /// Where the backlog is full, further peers are refused.
    pub async fn accept(&self) -> MessageQueue<Open> {
        match self.queues.lock().await.recv().await {
            Some(queue) => queue,
            // The other end is in this peer's own acceptor.
            None => std::future::pending().await,
        }
    }

    /// Connects to the peer of that name; [where](Connect) is said next.
    pub fn connect(&self, name: impl Into<String>) -> Connect<'_> {
        Connect { peer: self, to: name.into() }
    }

    /// What happens at this peer and its queues from now on.
    pub fn events(&self) -> PeerEvents {
        self.teller.listen()
    }

    fn check_name(&self) -> Result<(), ListenError> {
        match self.name().len() {
            1..=64 => Ok(()),
            length => Err(ListenError::Name { length }),
        }
    }
}

/// A peer that is to be connected to: say where it is.
#[derive(Debug)]
#[must_use = "say where the peer is: `.at(config).await?` or `.in_process().await?`"]
pub struct Connect<'a> {
    peer: &'a Peer,
    to: String,
}

impl Connect<'_> {
    /// Connects at a broker: the peer's own embedded one, or a RabbitMQ where it listens.
    ///
    /// What the configuration says of recovery does not count: a queue has its own.
    ///
    /// Dropping the future ends what was begun, and the other side is told so.
    ///
    /// # Errors
    /// [`Refused`], which is also an [event](PeerEvent::Refused).
    pub async fn at(self, broker: impl Into<Config>) -> Result<MessageQueue<Open>, Refused> {
        let config = broker.into();
        let connected = self.connect_at(config).await;
        self.told(connected)
    }

    /// Connects within this process, to a peer that [listens](Peer::listen_in_process) there.
    ///
    /// # Errors
    /// [`Refused`], which is also an [event](PeerEvent::Refused).
    pub async fn in_process(self) -> Result<MessageQueue<Open>, Refused> {
        let connected = self.connect_in_process();
        self.told(connected)
    }

    async fn connect_at(&self, config: Config) -> Result<MessageQueue<Open>, Refused> {
        self.check_names()?;
        let (id, peer) = (fresh_id(), self.peer);
        let way = Way {
            config,
            inbound: queue_name(&self.to, peer.name(), id),
            outbound: queue_name(peer.name(), &self.to, id),
            expiry: peer.settings.expiry(),
        };
        let hello = self.hello(id);
        let after = peer.settings.connect_timeout;
        let calling = Calling { to: self.to.clone(), hello, shared: self.side(id), way, after };
        // In a task of its own: the other side is to be told when nobody wants the queue any more.
        let (caller, answer) = oneshot::channel();
        tokio::spawn(calling.run(caller));
        answer.await.unwrap_or_else(|_| Err(Refused::NoAnswer { name: self.to.clone(), after }))
    }

    fn hello(&self, id: QueueId) -> Hello {
        Hello {
            id,
            from: self.peer.name().to_owned(),
            window: self.peer.settings.window(),
            expiry: self.peer.settings.expiry(),
        }
    }

    fn connect_in_process(&self) -> Result<MessageQueue<Open>, Refused> {
        self.check_names()?;
        let nobody = || Refused::NoSuchPeer { name: self.to.clone() };
        let acceptor = in_process::find(&self.to).ok_or_else(nobody)?;
        let hello = self.hello(fresh_id());
        match acceptor.admit(&hello)? {
            // An id is used once.
            Admitted::Before(_) => Err(nobody()),
            Admitted::Now(theirs, room) => {
                let ours = self.side(hello.id);
                in_process::welcome(&theirs, &ours);
                ours.connected();
                acceptor.told(&theirs);
                tokio::spawn(in_process::carry(Arc::clone(&ours), Arc::clone(&theirs)));
                acceptor.ready(&theirs, room);
                Ok(MessageQueue::opened(ours))
            }
        }
    }

    fn side(&self, id: QueueId) -> Arc<Shared> {
        let Peer { settings, teller, .. } = self.peer;
        Arc::new(Shared::connecting(id, self.to.clone(), *settings, teller.clone()))
    }

    fn check_names(&self) -> Result<(), Refused> {
        let bad = [self.peer.name(), &self.to].into_iter().find(|name| !is_name(name));
        bad.map_or(Ok(()), |name| Err(Refused::Name { length: name.len() }))
    }

    fn told(
        self,
        connected: Result<MessageQueue<Open>, Refused>,
    ) -> Result<MessageQueue<Open>, Refused> {
        let Connect { peer, to } = self;
        connected.inspect_err(|reason| {
            peer.teller.tell_both(PeerEvent::Refused { to, reason: reason.clone() });
        })
    }
}

/// Whoever waits for a queue at a broker.
type Caller = oneshot::Sender<Result<MessageQueue<Open>, Refused>>;

/// A queue at a broker that is being made.
struct Calling {
    to: String,
    hello: Hello,
    shared: Arc<Shared>,
    way: Way,
    after: Duration,
}

impl Calling {
    /// Says hello, and carries the queue once there is an answer.
    async fn run(self, mut caller: Caller) {
        let deadline = Instant::now() + self.after;
        let opened = timeout_at(deadline, self.way.open());
        let mut session = match either(opened, caller.closed()).await {
            Either::First(Ok(Ok(session))) => session,
            Either::First(Ok(Err(error))) => {
                let _ = caller.send(Err(Refused::from_connecting(error)));
                return;
            }
            Either::First(Err(_)) => {
                let _ = caller.send(Err(self.no_answer()));
                return;
            }
            Either::Second(()) => return,
        };
        let welcomed = timeout_at(deadline, self.say_hello(&mut session));
        match either(welcomed, caller.closed()).await {
            Either::First(Ok(Ok(()))) => {
                // Before anything happens in it.
                self.shared.connected();
                // Dropped where nobody takes it, which ends it.
                let _ = caller.send(Ok(MessageQueue::opened(Arc::clone(&self.shared))));
                carry(self.shared, self.way, session).await;
            }
            Either::First(Ok(Err(reason))) => {
                session.leave(false).await;
                let _ = caller.send(Err(reason));
            }
            Either::First(Err(_)) => {
                self.withdraw(session).await;
                let _ = caller.send(Err(self.no_answer()));
            }
            Either::Second(()) => self.withdraw(session).await,
        }
    }

    /// Nobody waits for an answer any more. The other side may have let us in, or do so later: it
    /// finds this then, and not silence.
    async fn withdraw(&self, session: Session) {
        let abort = frame::wrap(Frame::Abort, Position::default(), None);
        let said = timeout(FAREWELL, session.say(&self.way.outbound, abort)).await;
        session.leave(matches!(said, Ok(Ok(true)))).await;
    }

    fn no_answer(&self) -> Refused {
        Refused::NoAnswer { name: self.to.clone(), after: self.after }
    }

    /// Says hello until there is an answer.
    async fn say_hello(&self, session: &mut Session) -> Result<(), Refused> {
        let door = accept::door(&self.to);
        loop {
            if !session.say(&door, self.hello.message()).await.map_err(Refused::Broker)? {
                return Err(Refused::NoSuchPeer { name: self.to.clone() });
            }
            let answer = match either(session.hear(), sleep(HELLO_AGAIN)).await {
                Either::First(answer) => answer.map_err(Refused::Broker)?,
                Either::Second(()) => continue,
            };
            let (received, receipt) = answer.into_parts();
            receipt.ack().map_err(Refused::Broker)?;
            if is_busy(&received) {
                return Err(Refused::Busy { name: self.to.clone() });
            }
            let frame = frame::unwrap(received.properties().header(frame::HEADER));
            if let Some((frame @ Frame::Welcome(_), position)) = frame {
                self.shared.arrive(frame, position, Message::default());
                return Ok(());
            }
        }
    }
}

/// An id that nobody else has: the standard library's hasher is keyed at random.
fn fresh_id() -> QueueId {
    QueueId(RandomState::new().hash_one("queue"))
}
