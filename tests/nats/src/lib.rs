//! A NATS connection as a [`Link`]: on the official client, whose own reconnection is turned off, so
//! that one machine decides when to dial.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hopmq::link::Link;
//! use hopmq_nats::{Nats, NatsLink};
//!
//! let link = Link::new(Nats::new("nats://127.0.0.1:4222")).connect().await?;
//! let mut orders = link.subscribe("orders.>").await?; // outlives the session
//! link.publish("orders.eu", "one").await?;
//! let message = orders.next().await;
//! # drop(message); Ok(()) }
//! ```

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Message, Subscriber};
use futures_util::StreamExt;
use hopmq::link::{Connected, Failure, Link, Restored, Retry, Service, Unavailable};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How many messages of a subscription wait for their reader.
const BUFFER: usize = 1024;

/// No server is ever there.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// A NATS server, and the subscriptions that are to be there on every session with it.
#[derive(Debug)]
pub struct Nats {
    server: String,
    subscriptions: Mutex<Vec<Wanted>>,
    last: AtomicU64,
}

/// A session with the server.
#[derive(Debug)]
pub struct Session {
    client: Client,
    gone: watch::Receiver<bool>,
    echo: tokio::sync::Mutex<Echo>,
    attached: Mutex<Attached>,
}

/// Messages to this session from itself.
#[derive(Debug)]
struct Echo {
    subject: String,
    answers: Subscriber,
}

/// The subscriptions that are on this session. With it their pumps end.
#[derive(Debug, Default)]
struct Attached {
    numbers: HashSet<u64>,
    pumps: JoinSet<()>,
}

/// A subscription that somebody holds.
#[derive(Clone, Debug)]
struct Wanted {
    number: u64,
    subject: String,
    to: mpsc::Sender<Message>,
}

/// A subscription that is made anew on every session, until it is dropped. What is published while
/// there is no session is missed: NATS keeps nothing.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Message>);

impl Subscription {
    /// The next message.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.recv().await
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// There is no session.
    #[error(transparent)]
    Connect(#[from] async_nats::ConnectError),
    /// The session is gone.
    #[error("the server has gone")]
    Gone,
    /// The session did not take a subscription.
    #[error("could not subscribe")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// The session did not take a message.
    #[error("could not publish")]
    Publish(#[from] async_nats::PublishError),
    /// The session could not be flushed.
    #[error("could not flush")]
    Flush(#[from] async_nats::client::FlushError),
    /// The client would not let go of its own reconnection.
    #[error("could not turn the client's own reconnection off")]
    Pool(#[from] async_nats::SetServerPoolError),
}

impl Failure for NatsError {
    fn retry(&self) -> Retry {
        match self {
            Self::Connect(error) => match error.kind() {
                ConnectErrorKind::Authentication
                | ConnectErrorKind::AuthorizationViolation
                | ConnectErrorKind::ServerParse => Retry::Never,
                _ => Retry::Can,
            },
            _ => Retry::Can,
        }
    }
}

impl Nats {
    /// The server at this address, as `nats://host:port`.
    pub fn new(server: impl Into<String>) -> Self {
        let subscriptions = Mutex::new(Vec::new());
        Self { server: server.into(), subscriptions, last: AtomicU64::new(0) }
    }

    /// Subscriptions whose holders are there.
    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|wanted| !wanted.to.is_closed());
        wanted.clone()
    }
}

impl Service for Nats {
    type Session = Session;
    type Error = NatsError;

    async fn dial(&self) -> Result<Session, NatsError> {
        let (tell, gone) = watch::channel(false);
        let client = ConnectOptions::new()
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    tell.send_replace(true);
                }
                async {}
            })
            // No limit is not none, and one is the least that there is. Where it leads there is nothing.
            .max_reconnects(1)
            .ignore_discovered_servers()
            .connect(&self.server)
            .await?;
        client.set_server_pool(NOWHERE).await?;
        let subject = client.new_inbox();
        let answers = client.subscribe(subject.clone()).await?;
        let echo = tokio::sync::Mutex::new(Echo { subject, answers });
        Ok(Session { client, gone, echo, attached: Mutex::default() })
    }

    /// A message to ourselves, there and back.
    async fn probe(&self, session: &Session) -> Result<(), NatsError> {
        session.round_trip().await
    }

    async fn close(&self, session: &Session) {
        // Where it fails, the session is closed already.
        let _ = session.client.drain().await;
    }

    async fn lost(&self, session: &Session) -> NatsError {
        let _ = session.gone.clone().wait_for(|gone| *gone).await;
        NatsError::Gone
    }

    async fn recover(&self, session: &Session) -> Result<Restored, NatsError> {
        for wanted in self.wanted() {
            session.attach(wanted).await?;
        }
        // What comes back has passed the subscriptions: they are at the server.
        session.round_trip().await?;
        Ok(Restored::Everything)
    }

    async fn drain(&self, session: &Session) {
        let _ = session.client.flush().await;
    }
}

impl Session {
    /// The official client. Clones of it that outlive the session keep its connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn round_trip(&self) -> Result<(), NatsError> {
        let mut echo = self.echo.lock().await;
        self.client.publish(echo.subject.clone(), "".into()).await?;
        self.client.flush().await?;
        echo.answers.next().await.map(drop).ok_or(NatsError::Gone)
    }

    /// Subscribes on this session, once.
    async fn attach(&self, wanted: Wanted) -> Result<(), NatsError> {
        if !self.attached(|attached| attached.numbers.insert(wanted.number)) {
            return Ok(());
        }
        let messages = self.client.subscribe(wanted.subject.clone()).await?;
        self.attached(|attached| attached.pumps.spawn(pump(messages, wanted.to)));
        Ok(())
    }

    fn attached<R>(&self, f: impl FnOnce(&mut Attached) -> R) -> R {
        f(&mut self.attached.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hands on what comes, until either end is gone.
async fn pump(mut messages: Subscriber, to: mpsc::Sender<Message>) {
    loop {
        let next = tokio::select! {
            next = messages.next() => next,
            () = to.closed() => None,
        };
        let Some(message) = next else { return };
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// Why a call on a link did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no session.
    #[error(transparent)]
    Unavailable(#[from] Unavailable<NatsError>),
    /// The session failed.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

/// What a connected link can do.
pub trait NatsLink {
    /// Publishes, if a session is up, and fails at once if none is. When it returns, the message is on
    /// its way; NATS does not confirm.
    fn publish(
        &self,
        subject: &str,
        body: impl Into<String> + Send,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Subscribes, now and on every session to come. Waits for a session, five seconds at most.
    fn subscribe(
        &self,
        subject: &str,
    ) -> impl Future<Output = Result<Subscription, CallError>> + Send;
}

impl NatsLink for Link<Connected, Nats> {
    async fn publish(
        &self,
        subject: &str,
        body: impl Into<String> + Send,
    ) -> Result<(), CallError> {
        let session = self.session()?;
        let (subject, body) = (subject.to_owned(), body.into());
        session.client.publish(subject, body.into()).await.map_err(NatsError::from)?;
        session.client.flush().await.map_err(NatsError::from)?;
        Ok(())
    }

    async fn subscribe(&self, subject: &str) -> Result<Subscription, CallError> {
        let (to, from) = mpsc::channel(BUFFER);
        let service = self.service();
        let number = service.last.fetch_add(1, Ordering::Relaxed) + 1;
        let wanted = Wanted { number, subject: subject.to_owned(), to };
        // First wanted, then made: a session that comes up in between makes it, and none makes it twice.
        service.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).push(wanted.clone());
        let session = self.ready().within(Duration::from_secs(5)).await?;
        session.attach(wanted).await?;
        session.round_trip().await?;
        Ok(Subscription(from))
    }
}
