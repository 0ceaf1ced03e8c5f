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

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::AbortHandle,
};

pub use builder::Builder;
pub use faults::Faults;
pub use inspect::{BindingInfo, ConnectionInfo, ConsumerInfo, ExchangeInfo, QueueInfo};
pub use permissions::{Names, Permissions};

use connection::Connection;
use shared::Shared;

/// Names a connection for as long as the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(core::ConnId);

/// A broker that listens. Dropping it frees its port and ends its connections.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: [AbortHandle; 2],
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as clients take it, with the credentials of the default user and the virtual
    /// host `/`: `amqp://guest:guest@127.0.0.1:5672`.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}", self.address)
    }

    async fn listen(address: impl ToSocketAddrs, shared: Arc<Shared>) -> io::Result<Broker> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        *shared.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        let tasks = [
            tokio::spawn(accept(Arc::clone(&shared))).abort_handle(),
            tokio::spawn(tick(Arc::clone(&shared))).abort_handle(),
        ];
        Ok(Broker { shared, address, tasks })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stop();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Serves whoever connects, until the listener is taken away.
async fn accept(shared: Arc<Shared>) {
    while let Some(accepted) = next(&shared).await {
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

async fn next(shared: &Shared) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|context| match &*shared.listener.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(listener) => listener.poll_accept(context).map(Some),
        None => Poll::Ready(None),
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
