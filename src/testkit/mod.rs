//! A test kit for services: a broker in one line, a client that is connected, assertions that read
//! well and wait, faults on demand.
//!
//! ```
//! # async fn ship(config: hopmq::Config) -> Result<(), hopmq::Error> {
//! #     use hopmq::{Conn, Queue};
//! #     let conn = Conn::new(config).connect().await?;
//! #     let chan = conn.open_channel().await?;
//! #     let orders = chan.declare(Queue::classic("orders")).await?;
//! #     let mut deliveries = chan.consume(&orders).await?;
//! #     while let Some(order) = deliveries.next().await { order?.ack()? }
//! #     Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), hopmq::testkit::KitError> {
//! use hopmq::testkit::TestKit;
//!
//! let kit = TestKit::start().await?;                      // a broker on a free port
//! tokio::spawn(ship(kit.config()));                       // the service under test
//!
//! kit.queue("orders").has_consumers(1).await?;            // it is ready
//! kit.queue("orders").put("order 1").await?;              // confirmed
//! kit.queue("orders").is_empty().await?;
//! kit.nothing_unsettled().await?;                         // it acked
//!
//! kit.cut();                                              // the network fails
//! kit.queue("orders").has_consumers(1).await?;            // the service is back
//! # Ok(()) }
//! ```
//!
//! Assertions wait until they hold, up to the kit's [patience](TestKit::patience) of five seconds;
//! then their error says what was there instead:
//!
//! ```text
//! expected queue 'orders' to have 3 messages within 5s, but it has 1 ready ("order 3"), 1 unsettled
//! and 1 consumer
//! ```
//!
//! They look at the broker from within: nothing that they do is visible to the service. Time is
//! taken from the system's clock, so that they wait properly in a test with paused time, too. An
//! example of a service's tests: `tests/outside/tests/service.rs`.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod error;
mod exchange;
mod queue;

use std::{
    future::Future,
    time::{Duration, Instant},
};

pub use error::KitError;
pub use exchange::ExchangeCheck;
pub use queue::{Put, QueueCheck};

use exchange::{EVENTS, Published};

use crate::{
    broker::{Broker, Builder, ConnectionInfo, Faults, Listening},
    chan::{Chan, Confirming},
    config::{Config, Credentials},
    conn::{Conn, Connected},
    error::Error,
    exchange::{Direct, Exchange},
    message::Message,
};

/// Who the kit logs in as, so that its own connection can be told from the service's.
const OWN_USER: &str = "hopmq-testkit";

/// How often is looked again.
const AGAIN: Duration = Duration::from_millis(2);

/// A broker for one test, and a client of it.
///
/// The broker has RabbitMQ's defaults: a user `guest` and a virtual host `/`. Dropping the kit ends
/// it.
#[derive(Debug)]
pub struct TestKit {
    broker: Broker<Listening>,
    conn: Conn<Connected>,
    chan: Chan<Confirming>,
    patience: Duration,
    published: Published,
}

impl TestKit {
    /// Binds a broker to a free port of this machine, and connects to it.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn start() -> Result<TestKit, KitError> {
        TestKit::start_with(|broker| broker).await
    }

    /// The same with a broker that is configured first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), hopmq::testkit::KitError> {
    /// use hopmq::testkit::TestKit;
    ///
    /// let kit = TestKit::start_with(|broker| broker.vhost("shop").max_message_size(1024)).await?;
    /// let service = kit.config().vhost("shop");
    /// # drop(service);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn start_with(
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Result<TestKit, KitError> {
        // The first user is the one in the address.
        let builder = Broker::builder().user("guest", "guest").event_buffer(EVENTS);
        let builder = configure(builder).user(OWN_USER, OWN_USER);
        let broker = builder.bind("127.0.0.1:0").await.map_err(KitError::Bind)?;
        let published = Published::new(broker.events());
        let config = config_of(&broker).credentials(Credentials::new(OWN_USER, OWN_USER));
        let connected = async {
            let conn = Conn::new(config).connect().await?;
            let chan = conn.open_channel().await?.confirm_select().await?;
            Ok((conn, chan))
        };
        let (conn, chan) = connected.await.map_err(KitError::client("connect"))?;
        Ok(TestKit { broker, conn, chan, patience: Duration::from_secs(5), published })
    }

    /// How long assertions wait until they hold. 5 s by themselves.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How the service connects: as `guest` to the virtual host `/`.
    pub fn config(&self) -> Config {
        config_of(&self.broker)
    }

    /// The same as an address: `amqp://guest:guest@127.0.0.1:41234`.
    pub fn uri(&self) -> String {
        self.broker.uri()
    }

    /// The broker.
    pub fn broker(&self) -> &Broker<Listening> {
        &self.broker
    }

    /// The faults that the broker can be told to have: withheld or refused confirms, an alarm,
    /// stalled reads, refused connections, closed channels, deleted queues.
    pub fn faults(&self) -> Faults {
        self.broker.faults()
    }

    /// The kit's own connection, in the virtual host `/`.
    pub fn conn(&self) -> &Conn<Connected> {
        &self.conn
    }

    /// The kit's own channel, to declare what a test needs.
    pub fn chan(&self) -> &Chan<Confirming> {
        &self.chan
    }

    /// A queue in the virtual host `/`, to assert what is in it. It need not exist.
    pub fn queue(&self, name: impl Into<String>) -> QueueCheck<'_> {
        QueueCheck::new(self, name.into())
    }

    /// An exchange, to assert what was published to it. It need not exist.
    pub fn exchange(&self, name: impl Into<String>) -> ExchangeCheck<'_> {
        ExchangeCheck::new(self, name.into())
    }

    /// Publishes a message to an exchange in the virtual host `/`, and waits until the broker has
    /// confirmed it.
    ///
    /// # Errors
    /// [`KitError::Client`]; also when no queue took it.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        message: impl Into<Message>,
    ) -> Result<(), KitError> {
        let published = async {
            match exchange {
                "" => self.put(routing_key, message.into()).await,
                name => {
                    let exchange = Exchange::<Direct>::by_name(name)?;
                    let publish = self.chan.publish(&exchange, routing_key, message);
                    Ok(publish.mandatory().await?.await?)
                }
            }
        };
        published.await.map_err(KitError::client("publish"))
    }

    /// Publishes to a queue.
    async fn put(&self, queue: &str, message: Message) -> Result<(), Error> {
        let default = Exchange::default_exchange();
        Ok(self.chan.publish(&default, queue, message).mandatory().await?.await?)
    }

    /// The connections of others than the kit.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let mut connections = self.broker.connections();
        connections.retain(|connection| connection.user != OWN_USER);
        connections
    }

    /// Waits until others than the kit have that many connections.
    ///
    /// # Errors
    /// [`KitError::NotSo`].
    pub async fn has_connections(&self, count: usize) -> Result<(), KitError> {
        let expected = || counted(count, "connection");
        self.until(expected, || match self.connections().len() {
            found if found == count => Ok(()),
            found => Err(format!("there are {found}")),
        })
        .await
    }

    /// Cuts the connections of others than the kit, without a word, as a failing network does. Tells
    /// how many there were.
    pub fn cut(&self) -> usize {
        let (connections, faults) = (self.connections(), self.faults());
        connections.iter().for_each(|connection| faults.cut(connection.id));
        connections.len()
    }

    /// Waits until no queue in the virtual host `/` has deliveries that were not settled.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with the queues that have some.
    pub async fn nothing_unsettled(&self) -> Result<(), KitError> {
        let expected = || "every delivery to be settled".to_owned();
        self.until(expected, || {
            let queues = self.broker.queues("/").into_iter().filter(|queue| queue.unacked > 0);
            let unsettled: Vec<String> =
                queues.map(|queue| format!("'{}' has {}", queue.name, queue.unacked)).collect();
            match unsettled.is_empty() {
                true => Ok(()),
                false => Err(format!("{} unsettled", unsettled.join(", "))),
            }
        })
        .await
    }

    /// Looks again and again until it holds.
    async fn until(
        &self,
        expected: impl Fn() -> String,
        mut look: impl FnMut() -> Result<(), String>,
    ) -> Result<(), KitError> {
        let after = self.patience;
        let began = Instant::now();
        loop {
            // The time first: what is seen last is not older than it.
            let over = began.elapsed() >= after;
            match look() {
                Ok(()) => return Ok(()),
                Err(found) if over => {
                    return Err(KitError::NotSo { expected: expected(), found, after });
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Looks again and again whether it still holds.
    async fn throughout(
        &self,
        after: Duration,
        expected: impl Fn() -> String,
        mut look: impl FnMut() -> Result<(), String>,
    ) -> Result<(), KitError> {
        let began = Instant::now();
        loop {
            let over = began.elapsed() >= after;
            if let Err(found) = look() {
                return Err(KitError::NotSoAnyMore { expected: expected(), found, after });
            }
            if over {
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A client's answer within the kit's patience.
    async fn answer<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, KitError> {
        call.await.map_err(KitError::client(what))
    }
}

fn config_of(broker: &Broker<Listening>) -> Config {
    // An address that the broker made itself is one.
    broker.uri().parse().unwrap_or_default()
}

fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
