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
//! It keeps everything in memory, and one broker stands alone: clusters are RabbitMQ's. What it
//! does not support it refuses with 540, never in silence.
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
mod faults;
mod inspect;
mod permissions;
mod session;
mod shared;
mod unplugged;

use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

pub use builder::Builder;
pub use faults::Faults;
pub use inspect::{BindingInfo, ConnectionInfo, ConsumerInfo, ExchangeInfo, QueueInfo};
pub use permissions::{Names, Permissions};
#[doc(hidden)]
pub use unplugged::Unplugged;

use connection::Connection;
use shared::Shared;

use crate::wire::ReplyCode;

/// Names a connection for as long as the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(core::ConnId);

/// A broker that listens. Dropping it frees its port and ends its connections.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Of the first user, as an address has them.
    credentials: String,
}

impl Broker {
    /// A broker with RabbitMQ's defaults on this address; port 0 is a free one.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Broker> {
        Broker::builder().bind(address).await
    }

    /// A broker to be configured first.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The address it was bound to first.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as clients on this machine take it, with the credentials of the first user
    /// and the virtual host `/`: `amqp://guest:guest@127.0.0.1:5672`.
    pub fn uri(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("amqp://{}@{address}", self.credentials)
    }

    /// Listens on a further address, too; port 0 is a free one. Returns what was bound.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        open_port(&self.shared, address).await
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.keys().copied().collect()
    }

    /// Stops listening and closes every connection as RabbitMQ does when it shuts down: what is
    /// due to be sent goes out first, then connection.close with 320. The ports are free at once.
    pub fn drain(self) -> Draining {
        self.shared.stop_listening();
        self.faults().close_connections(
            ReplyCode::CONNECTION_FORCED,
            "broker forced connection closure with reason 'shutdown'",
        );
        Draining { broker: self }
    }

    async fn start(
        address: impl ToSocketAddrs,
        shared: Shared,
        credentials: String,
    ) -> io::Result<Broker> {
        let shared = Arc::new(shared);
        let address = open_port(&shared, address).await?;
        shared.keep(tokio::spawn(tick(Arc::clone(&shared))).abort_handle());
        Ok(Broker { shared, address, credentials })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A broker that has stopped listening and ends its connections. Dropping it cuts those that
/// are left.
#[derive(Debug)]
#[must_use = "dropping it cuts the connections that are left"]
pub struct Draining {
    broker: Broker,
}

impl Draining {
    /// Connections that have not ended yet.
    pub fn connections(&self) -> usize {
        self.broker.shared.connection_count()
    }

    /// Waits until every connection has ended, and cuts those that have not within `patience`.
    /// Returns how many had to be cut.
    pub async fn stopped(self, patience: Duration) -> usize {
        let shared = &self.broker.shared;
        let mut late = pin!(tokio::time::sleep(patience));
        poll_fn(|context| {
            shared.emptied.heard(context);
            if shared.connection_count() == 0 || late.as_mut().poll(context).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        shared.connection_count()
    }
}

async fn open_port(shared: &Arc<Shared>, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(address, listener);
    shared.keep(tokio::spawn(accept(Arc::clone(shared), address)).abort_handle());
    Ok(address)
}

/// Serves whoever connects, until the listener is taken away.
async fn accept(shared: Arc<Shared>, address: SocketAddr) {
    while let Some(accepted) = next(&shared, address).await {
        match accepted {
            Ok(_) if shared.closed.load(Ordering::Acquire) => {}
            Ok((stream, from)) => {
                let connection =
                    Connection::new(Arc::clone(&shared), stream, from.ip().is_loopback());
                let conn = connection.id();
                let task = tokio::spawn(connection.run());
                shared.set_task(conn, task.abort_handle());
            }
            // Out of file descriptors, or the client is gone already: neither ends the broker.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn next(shared: &Shared, address: SocketAddr) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|context| {
        let listeners = shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        match listeners.get(&address) {
            Some(listener) => listener.poll_accept(context).map(Some),
            None => Poll::Ready(None),
        }
    })
    .await
}

/// Does what falls due in the core.
async fn tick(shared: Arc<Shared>) {
    loop {
        let due = shared.with(None, |core, now| {
            core.handle_timeout(now);
            core.poll_timeout()
        });
        shared.armed.store(due.map_or(u64::MAX, |due| due.as_nanos()), Ordering::Release);
        let wait = Duration::from_secs(3_600);
        let until =
            due.map_or_else(|| tokio::time::Instant::now() + wait, |due| shared.instant(due));
        let mut sleep = pin!(tokio::time::sleep_until(until));
        poll_fn(|context| {
            let rung = shared.clock.heard(context);
            if rung || sleep.as_mut().poll(context).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
