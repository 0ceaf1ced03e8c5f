//! The side that is connected to: it answers those who say hello, at a broker or in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{mpsc, mpsc::OwnedPermit},
    time::sleep,
};

use super::{
    carry::{Way, carry},
    core::Window,
    error::{ListenError, Refused},
    events::{PeerEvent, Teller},
    frame,
    queue::{MessageQueue, QueueId},
    settings::Settings,
    shared::Shared,
};
use crate::{
    chan::{Chan, Confirming, Open},
    config::Config,
    conn::{Conn, Connected},
    consumer::Consumer,
    delivery::Delivery,
    error::Error,
    exchange::Exchange,
    message::{Message, Received},
    queue::Queue,
    wire::ReplyCode,
};

/// The header of a hello, and of the answer that there is no room.
pub(super) const HELLO: &str = "x-hopmq-hello";

/// How long to wait before a lost place is sought again.
const AGAIN: Duration = Duration::from_millis(200);

/// The queue at which a peer is told hello.
pub(super) fn door(name: &str) -> String {
    format!("hopmq.accept.{name}")
}

/// The queue from one peer to another.
pub(super) fn queue_name(from: &str, to: &str, id: QueueId) -> String {
    format!("hopmq.queue.{from}.{to}.{id}")
}

/// What is said to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) id: QueueId,
    pub(super) from: String,
    pub(super) window: Window,
    pub(super) expiry: Duration,
}

impl Hello {
    pub(super) fn message(&self) -> Message {
        let Hello { id, from, window: Window { messages, bytes }, expiry } = self;
        let (version, expiry) = (frame::VERSION, expiry.as_millis());
        let text = format!("hello {version} {id} {messages} {bytes} {expiry} {from}");
        Message::default().transient().header(HELLO, text.as_str())
    }

    fn read(received: &Received) -> Option<Hello> {
        let header = received.properties().header(HELLO)?;
        let mut words = header.as_str()?.splitn(7, ' ');
        if words.next()? != "hello" || words.next()?.parse() != Ok(frame::VERSION) {
            return None;
        }
        let id = QueueId(u64::from_str_radix(words.next()?, 16).ok()?);
        let window = frame::window(words.next()?.parse().ok()?, words.next()?.parse().ok()?)?;
        let expiry = Duration::from_millis(words.next()?.parse::<u32>().ok()?.max(1).into());
        let from = words.next().filter(|from| is_name(from))?.to_owned();
        Some(Hello { id, from, window, expiry })
    }
}

/// A name is part of queues' names, which have 255 bytes.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
}

/// The answer that there is no room.
pub(super) fn is_busy(received: &Received) -> bool {
    received.properties().header(HELLO).is_some_and(|text| text.as_str() == Some("busy"))
}

/// Makes queues of hellos.
#[derive(Debug)]
pub(super) struct Acceptor {
    name: String,
    settings: Settings,
    teller: Teller,
    backlog: mpsc::Sender<MessageQueue<Open>>,
    /// Those that are open, and those that are being opened.
    accepted: Mutex<HashMap<QueueId, Weak<Shared>>>,
}

impl Acceptor {
    pub(super) fn new(
        name: String,
        settings: Settings,
        teller: Teller,
        backlog: mpsc::Sender<MessageQueue<Open>>,
    ) -> Self {
        Acceptor { name, settings, teller, backlog, accepted: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// This side of a queue, and its place in the backlog; or why there is none.
    pub(super) fn admit(&self, hello: &Hello) -> Result<Admitted, Refused> {
        let room = self.backlog.clone().try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Busy { name: self.name.clone() },
            mpsc::error::TrySendError::Closed(_) => Refused::NoSuchPeer { name: self.name.clone() },
        });
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accepted.get(&hello.id).and_then(Weak::upgrade) {
            return Ok(Admitted::Before(known));
        }
        let room = room?;
        if accepted.len() >= self.settings.most_accepted {
            accepted.retain(|_, shared| shared.upgrade().is_some_and(|one| one.end().is_none()));
        }
        if accepted.len() >= self.settings.most_accepted {
            return Err(Refused::Busy { name: self.name.clone() });
        }
        let shared = Arc::new(Shared::accepting(
            hello.id,
            hello.from.clone(),
            self.settings,
            self.teller.clone(),
            hello.window,
        ));
        accepted.insert(hello.id, Arc::downgrade(&shared));
        Ok(Admitted::Now(shared, room))
    }

    /// Tells of a queue, before anything happens in it.
    pub(super) fn told(&self, shared: &Shared) {
        self.teller.tell(|| PeerEvent::Accepted { queue: shared.id, from: shared.peer.clone() });
    }

    /// Puts a queue that is ready where it can be accepted.
    pub(super) fn ready(&self, shared: &Arc<Shared>, room: OwnedPermit<MessageQueue<Open>>) {
        room.send(MessageQueue::opened(Arc::clone(shared)));
    }

    fn turned_away(&self, from: String, reason: Refused) {
        self.teller.tell(|| PeerEvent::TurnedAway { from, reason });
    }
}

/// What became of a hello.
pub(super) enum Admitted {
    /// It is a new queue.
    Now(Arc<Shared>, OwnedPermit<MessageQueue<Open>>),
    /// It was told before.
    Before(Arc<Shared>),
}

/// Where hellos come in: a broker at which this peer has a queue for them.
#[derive(Debug)]
pub(super) struct Door {
    conn: Conn<Connected>,
    chan: Chan<Confirming>,
    hellos: Consumer,
}

impl Door {
    /// Opens it. It is this connection's own, so that there is one of a name, and none when it is
    /// gone.
    pub(super) async fn open(config: &Config, name: &str) -> Result<Door, ListenError> {
        let opened = async {
            let conn = Conn::new(config.clone().without_recovery()).connect().await?;
            let chan = conn.open_channel().await?.confirm_select().await?;
            let door = chan.declare(Queue::classic(door(name)).exclusive()).await?;
            let hellos = chan.consume(&door).await?;
            Ok(Door { conn, chan, hellos })
        };
        opened.await.map_err(|error: Error| match error.reply_code() {
            Some(ReplyCode::RESOURCE_LOCKED) => ListenError::NameTaken { name: name.to_owned() },
            _ => ListenError::Place(error),
        })
    }

    /// Answers whoever says hello, until the connection is lost.
    async fn answer(&mut self, config: &Config, acceptor: &Arc<Acceptor>) -> Result<(), Error> {
        while let Some(delivery) = self.hellos.next().await {
            let delivery: Delivery = delivery?;
            let hello = Hello::read(&delivery);
            delivery.ack()?;
            let Some(hello) = hello else { continue };
            match acceptor.admit(&hello) {
                Ok(Admitted::Before(shared)) => shared.welcome_again(),
                Ok(Admitted::Now(shared, room)) => {
                    let way = Way {
                        config: config.clone(),
                        inbound: queue_name(&hello.from, acceptor.name(), hello.id),
                        outbound: queue_name(acceptor.name(), &hello.from, hello.id),
                        expiry: hello.expiry,
                    };
                    tokio::spawn(serve(Arc::clone(acceptor), shared, way, room));
                }
                Err(reason) => {
                    self.turn_away(&hello, acceptor).await?;
                    acceptor.turned_away(hello.from, reason);
                }
            }
        }
        Err(self.conn.close_reason().unwrap_or(Error::Closed))
    }

    async fn turn_away(&self, hello: &Hello, acceptor: &Acceptor) -> Result<(), Error> {
        let answers = queue_name(acceptor.name(), &hello.from, hello.id);
        let busy = Message::default().transient().header(HELLO, "busy");
        // Whether it is taken is the other side's affair.
        let default = Exchange::default_exchange();
        drop(self.chan.publish(&default, &answers, busy).await?);
        Ok(())
    }
}

/// Keeps a door open, for as long as its task lives.
pub(super) async fn keep_open(mut door: Door, config: Config, acceptor: Arc<Acceptor>) {
    loop {
        if let Err(error) = door.answer(&config, &acceptor).await {
            tracing::warn!(peer = acceptor.name(), %error, "nobody can connect until the broker is back");
        }
        drop(door);
        door = loop {
            sleep(AGAIN).await;
            if let Ok(door) = Door::open(&config, acceptor.name()).await {
                break door;
            }
        };
    }
}

/// Carries a queue that was accepted.
async fn serve(
    acceptor: Arc<Acceptor>,
    shared: Arc<Shared>,
    way: Way,
    room: OwnedPermit<MessageQueue<Open>>,
) {
    match way.open().await {
        Ok(session) => {
            acceptor.told(&shared);
            acceptor.ready(&shared, room);
            drop(acceptor);
            carry(shared, way, session).await;
        }
        // The other side says hello again.
        Err(error) => acceptor.turned_away(shared.peer.clone(), Refused::from_connecting(error)),
    }
}
