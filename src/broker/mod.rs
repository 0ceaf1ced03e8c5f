//! An AMQP 0-9-1 broker in this process, with the semantics, reply codes and texts of RabbitMQ 4.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use hopmq::broker::Broker;
//!
//! let broker = Broker::bind("127.0.0.1:0").await?;
//! println!("{}", broker.uri()); // amqp://guest:guest@127.0.0.1:41234
//! # Ok(()) }
//! ```
//!
//! It keeps everything in memory, and with the feature `durable` in a file, too
//! (`Builder::durable`). One broker stands alone: clusters are RabbitMQ's. What it
//! does not support it refuses with 540, never in silence, in RabbitMQ's words:
//!
//! | Refused with 540 | Text |
//! |---|---|
//! | channel.flow that stops deliveries | `active=false` |
//! | basic.qos with a size | `prefetch_size!=0 (5)` |
//! | basic.publish with `immediate` | `immediate=true` |
//! | basic.recover without requeue | `requeue=false` |
//! | basic.get from a stream | `basic.get not supported by stream queues ...` |
//! | queue.purge of a stream | `queue.purge not supported by stream queues ...` |
//! | consuming a stream with automatic acks | `automatic acknowledgement not supported by stream ...` |
//! | deleting a quorum queue if unused, or if empty | `... not supported by quorum queues` |
//! | consuming a quorum queue or a stream on a channel with a global prefetch | `... does not support global qos` |
//!
//! Where RabbitMQ hangs up without a word (limits that are not as proposed, methods that do not
//! exist), it says with connection.close what was wrong.
//!
//! Exchange types and queue types that need a plugin are unknown to it, as they are to a RabbitMQ
//! without that plugin.
//!
//! Its states are types, as a connection's are:
//!
#![doc = include_str!("../table/broker.svg")]
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # use std::time::Duration;
//! use hopmq::broker::Broker;
//!
//! let broker = Broker::builder().vhost("shop").build();          // Broker<Unbound>
//! let broker = broker.listen("127.0.0.1:0").await?;              // Broker<Listening>
//! let broker = broker.drain();                                   // Broker<Draining>
//! let broker = broker.stopped(Duration::from_secs(5)).await;     // Broker<Stopped>
//! assert_eq!(broker.cut(), 0);
//! # Ok(()) }
//! ```
//!
//! # In which order
//!
//! Everything that is to be done goes through one place, in this order:
//!
//! * What arrives on any connection, falls due, or is done by [`Faults`] takes effect one at a time
//!   and whole, in the order in which it came: all connections see the same order of things.
//! * Each connection's frames are done in their order, across its channels; their answers and
//!   deliveries go out in the order in which they came about, a return before its confirm, and
//!   confirms among themselves in order, at the latest when nothing more was read.
//! * What has to wait is woken by what it waits for, in turn: a consumer by a message, by room in its
//!   prefetch or on its socket; a publisher that is held back by the end of the alarm; a confirm by
//!   the store; a queue or a message by its time.
//! * [Events](Broker::events) come in the order in which things happened: of a connection `Accepted`
//!   first and `Disconnected` last, of a message `Arrived` before it is `Sent`.
//! * [Draining](Broker::drain) sends what is due before connection.close; then the connection's
//!   end is told. A forced cut returns what was not settled to its queues, in its old place.
//! * Nothing blocks: a task waits for its own socket only. A client that does not read, a hook that
//!   blocks and events that nobody reads hold up nobody else.
//!
//! | Layer | Where | Holds |
//! |---|---|---|
//! | core | `core` | exchanges, queues, consumers: pure, without clock, socket and task |
//! | session | `session` | the protocol of one connection in the broker's role: pure |
//! | tasks | here | one task per connection, one that accepts, one for what falls due |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod bell;
mod builder;
mod connection;
mod core;
mod event;
mod faults;
mod inspect;
mod permissions;
mod port;
mod session;
mod shared;
mod socket;
mod state;
#[cfg(feature = "durable")]
mod store;
#[cfg(feature = "tls")]
mod tls;
mod transition;
mod unplugged;

use std::{
    fmt, io,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::PoisonError,
    time::Duration,
};

use tokio::net::ToSocketAddrs;

pub use builder::Builder;
pub(crate) use event::Announcer;
pub use event::{Budget, Counts, Ending, Event, Events};
pub use faults::Faults;
pub use inspect::{
    BindingInfo, ConnectionInfo, ConsumerInfo, ExchangeInfo, MessageInfo, QueueInfo,
};
pub use permissions::{Names, Pattern, PatternError, Permissions};
pub use state::{
    BrokerState, CanListen, Draining, HoldsState, IsDraining, IsListening, IsServing, IsStopped,
    Listening, Stopped, Unbound,
};
#[cfg(feature = "durable")]
pub use store::StoreError;
#[cfg(feature = "tls")]
pub use tls::ServerTls;
pub use transition::{NotBound, Opening, Port, Stopping};
#[doc(hidden)]
pub use unplugged::Unplugged;

use crate::wire::ReplyCode;
use port::Scheme;

/// Names a connection for as long as the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(core::ConnId);

/// As a number, the first connection's being 1.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

/// A broker, in the state `S`.
///
/// [`Broker::bind`] gives one that listens, in one line. Dropping it frees its ports and ends its
/// connections.
///
#[doc = include_str!("../table/broker.svg")]
pub struct Broker<S: BrokerState> {
    inner: S::Inner,
    state: PhantomData<fn() -> S>,
}

impl<S: BrokerState> Broker<S> {
    fn with_inner(inner: S::Inner) -> Self {
        Broker { inner, state: PhantomData }
    }
}

impl Broker<Listening> {
    /// A broker with RabbitMQ's defaults that listens on this address; port 0 is a free one.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Broker<Listening>> {
        Broker::builder().bind(address).await
    }
}

impl Broker<Unbound> {
    /// A broker to be configured first.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc`.
impl<S: BrokerState> Broker<S> {
    /// Binds an address, port 0 for a free one, and serves whoever connects to it. Any number of
    /// connections may come to one port, as with RabbitMQ; a port for each would cost addresses
    /// and firewalls, and tell nothing that a connection's id does not.
    ///
    /// # Errors
    /// [`NotBound`] with the `Broker<Unbound>` to try again with.
    #[rustfmt::skip]
    pub fn listen<'a>(self, address: impl ToSocketAddrs + Send + 'a) -> Opening<'a> // needs an owned `Broker`: `let broker = broker.listen("127.0.0.1:0").await?;`
    where
        Self: CanListen,
    {
        Opening::new(self.into_plan(), address, Scheme::Plain)
    }

    /// Listens on a further address, too; port 0 is a free one. Returns what was bound.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    pub fn also_listen<'a>(&self, address: impl ToSocketAddrs + Send + 'a) -> Port<'a>
    where
        Self: IsListening,
    {
        Port::new(&self.listening().shared, address, Scheme::Plain)
    }

    /// As [`listen`](Self::listen), with TLS (feature `tls`). [`uri`](Self::uri) begins with
    /// `amqps` then.
    ///
    /// # Errors
    /// [`NotBound`] with the `Broker<Unbound>` to try again with.
    #[cfg(feature = "tls")]
    #[rustfmt::skip]
    pub fn listen_tls<'a>(self, address: impl ToSocketAddrs + Send + 'a, tls: ServerTls) -> Opening<'a> // needs an owned `Broker`
    where
        Self: CanListen,
    {
        Opening::new(self.into_plan(), address, Scheme::Tls(tls))
    }

    /// Listens on a further address with TLS, too (feature `tls`); port 0 is a free one. Returns
    /// what was bound.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    #[cfg(feature = "tls")]
    pub fn also_listen_tls<'a>(
        &self,
        address: impl ToSocketAddrs + Send + 'a,
        tls: ServerTls,
    ) -> Port<'a>
    where
        Self: IsListening,
    {
        Port::new(&self.listening().shared, address, Scheme::Tls(tls))
    }

    /// The address it was bound to first.
    pub fn address(&self) -> SocketAddr
    where
        Self: IsListening,
    {
        self.listening().address
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr>
    where
        Self: IsListening,
    {
        let listeners = self.listening().shared.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// The address as clients on this machine take it, with the credentials of the first user
    /// and the virtual host `/`: `amqp://guest:guest@127.0.0.1:5672`.
    pub fn uri(&self) -> String
    where
        Self: IsListening,
    {
        let running = self.listening();
        let mut address = running.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("{}://{}@{address}", running.scheme, running.credentials)
    }

    /// Stops listening and closes every connection as RabbitMQ does when it shuts down: what is
    /// due to be sent goes out first, then connection.close with 320. The ports are free at once.
    #[rustfmt::skip]
    pub fn drain(self) -> Broker<Draining> // needs an owned `Broker`: `let broker = broker.drain();`
    where
        Self: IsListening,
    {
        let running = self.into_running();
        running.shared.stop_listening();
        running.shared.close_connections(
            ReplyCode::CONNECTION_FORCED,
            "broker forced connection closure with reason 'shutdown'",
        );
        Broker::with_inner(running)
    }

    /// Connections, those that have not opened a virtual host yet among them.
    pub fn connection_count(&self) -> usize
    where
        Self: IsServing,
    {
        self.serving().shared.connection_count()
    }

    /// Waits until every connection has ended, and cuts those that have not within `patience`.
    #[rustfmt::skip]
    pub fn stopped(self, patience: Duration) -> Stopping // needs an owned `Broker`: `let broker = broker.stopped(patience).await;`
    where
        Self: IsDraining,
    {
        Stopping::new(self.into_draining(), patience)
    }

    /// How many connections had to be cut, since they did not end by themselves.
    pub fn cut(&self) -> usize
    where
        Self: IsStopped,
    {
        self.stopped_running().cut
    }

    /// A broker with the same configuration, to be bound anew. Nothing that was in memory alone
    /// is in it.
    #[rustfmt::skip]
    pub fn into_unbound(self) -> Broker<Unbound> // needs an owned `Broker`: `let broker = broker.into_unbound();`
    where
        Self: IsStopped,
    {
        Broker::with_inner(Box::new(self.stopped_running().plan.clone()))
    }
}

impl<S: BrokerState> fmt::Debug for Broker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker<{}>", S::NAME)
    }
}
