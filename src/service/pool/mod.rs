//! Pools of channels, on as many connections as they take (feature `pool`).
//!
//! A [`ChanPool`] gives channels in the mode that its type says, and takes them back: opening a channel
//! costs a round trip or two, opening a connection half a dozen and a process in the broker. Channels are
//! spread over connections of the pool's own, up to so many per connection; the next connection is
//! dialled when those there are full.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
//! # let uri = broker.uri();
//! use std::time::Duration;
//! use hopmq::{Config, Exchange, Queue, service::pool::ChanPool};
//!
//! let config: Config = uri.parse()?;
//! let publishing = ChanPool::publishing(config.clone())       // of Chan<Confirming>
//!     .connections(2)
//!     .channels_per_connection(8)
//!     .wait_at_most(Duration::from_secs(5))
//!     .build()?;
//! let consuming = ChanPool::consuming(config).build()?;       // of Chan<Open>, on other connections
//!
//! let chan = publishing.get().await?;
//! let inbox = chan.declare(Queue::quorum("inbox")).await?;
//! chan.publish(&Exchange::default_exchange(), &inbox, b"12 apples").await?.await?;
//! drop(chan);                                                 // goes back, as it is
//!
//! let chan = consuming.get().await?;
//! chan.consume(&inbox).await?.next().await.expect("a message")?.ack()?;
//! drop(chan);
//!
//! assert_eq!(publishing.status().created, 1);
//! assert_eq!(publishing.close().await.channels_left, 0);
//! consuming.close().await;
//! # Ok(()) }
//! ```
//!
//! # Publishing and consuming apart
//!
//! When a resource alarm is raised RabbitMQ stops reading from the sockets that publish, and with
//! them whatever else comes over these: acks too
//! (<https://www.rabbitmq.com/docs/connections#separating-connections>). So a pool is for
//! [`Publishing`] or for [`Consuming`], by its type, and what it gives does only the one: a
//! [`PooledChan<Confirming, Publishing>`](PooledChan) has no `consume`, and a
//! `PooledChan<Open, Consuming>` no `publish_unconfirmed`:
//!
//! ```compile_fail,E0599
//! # async fn run(config: hopmq::Config, inbox: hopmq::Queue<hopmq::Quorum>) -> Result<(), Box<dyn std::error::Error>> {
//! use hopmq::service::pool::ChanPool;
//!
//! let chan = ChanPool::publishing(config).build()?.get().await?;
//! chan.consume(&inbox).await?;
//! # Ok(()) }
//! ```
//!
//! # What is given back
//!
//! A channel is looked at when it is given out again, and at each [check](PoolBuilder::check_every):
//!
//! | It | is evicted as |
//! |---|---|
//! | has ended: by the broker, for what its user did, or with its connection | [`closed`](Evictions::closed) |
//! | was not used for [so long](PoolBuilder::idle_timeout) | [`idle`](Evictions::idle) |
//! | or its connection is [so old](PoolBuilder::max_lifetime) | [`expired`](Evictions::expired) |
//! | or its connection did not answer in time | [`unanswered`](Evictions::unanswered) |
//! | was given back while a consumer was still on it | [`in_use`](Evictions::in_use) |
//!
//! A transaction that was left open is rolled back first. A connection that was lost stays: it is
//! dialled again by its own machine, and its channels with it; calls on them wait for that, as
//! [configured](crate::Config::while_recovering). One that has given up is replaced.

mod builder;
mod chan;
mod check;
mod conns;
mod keeper;
mod mode;
mod status;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use deadpool::managed::{self, PoolError as GetError};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

pub use self::{
    builder::PoolBuilder,
    chan::PooledChan,
    mode::{Consuming, PoolMode, Publishing, Purpose},
    status::{ConnectionStatus, Evictions, PoolClosed, PoolStatus},
};
use self::{builder::Settings, check::Checks, conns::Conns, keeper::Keeper};
use crate::{Confirming, Error};

/// A pool of channels in the mode `M`, for the purpose `P`. Clones are handles on the same pool.
///
/// Nothing is dialled before the first [`get`](ChanPool::get). Connections are closed when the last
/// handle and the last channel are gone, in the background; [`close`](ChanPool::close) waits for it.
pub struct ChanPool<M: PoolMode = Confirming, P: Purpose = Publishing> {
    shared: Arc<Shared<M, P>>,
}

/// What all handles on a pool share.
struct Shared<M: PoolMode, P: Purpose> {
    channels: managed::Pool<Keeper<M>>,
    conns: Arc<Conns>,
    settings: Settings,
    checks: Checks,
    purpose: std::marker::PhantomData<fn() -> P>,
}

/// Why a pool gave no channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// None was free, or could be opened, in time.
    #[error(
        "no channel within {after:?}: {in_use} of at most {max} are in use, {waiting} calls wait"
    )]
    Timeout {
        /// How long the call waited.
        after: Duration,
        /// Channels that are in use.
        in_use: usize,
        /// The most there may be.
        max: usize,
        /// Other calls that wait.
        waiting: usize,
    },
    /// The connection could not be made, or the channel not be opened.
    #[error("a channel could not be opened")]
    Open(#[source] Error),
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
}

impl<M: PoolMode, P: Purpose> ChanPool<M, P> {
    /// Takes a channel: one that was given back last, else a new one; waits when all are in use, in the
    /// order of calls, for as long as [configured](PoolBuilder::wait_at_most).
    ///
    /// Dropped before it is ready, nothing is taken: what was being opened is closed.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn get(&self) -> Result<PooledChan<M, P>, PoolError> {
        self.checked();
        let after = self.shared.settings.wait;
        match timeout(after, self.shared.channels.get()).await {
            Ok(Ok(object)) => Ok(PooledChan::new(object)),
            Ok(Err(GetError::Backend(error))) => Err(PoolError::Open(error)),
            Ok(Err(GetError::Closed)) => Err(PoolError::Closed),
            // It has no deadlines and no hooks of its own.
            Ok(Err(_)) | Err(_) => {
                let PoolStatus { in_use, waiting, .. } = self.status();
                let max = self.shared.settings.channels();
                Err(PoolError::Timeout { after, in_use, max, waiting })
            }
        }
    }

    /// What there is now, and what was counted since the pool was made.
    pub fn status(&self) -> PoolStatus {
        let channels = self.shared.channels.status();
        self.shared.conns.status(&self.shared.settings, channels)
    }

    /// Looks at every connection and every channel that is not in use, at once: the same as the checks at
    /// an [interval](PoolBuilder::check_every). What does not answer is evicted, and a connection
    /// dialled if none is left.
    ///
    /// Dropped before it is ready, what was found so far is evicted.
    pub async fn check(&self) {
        check::round(&self.shared).await;
    }

    /// Closes the pool: waiting calls and new ones fail, channels that are in use have
    /// [so long](PoolBuilder::drain_within) to come back, and connections are closed in an orderly way,
    /// all at once, with what is left on them.
    ///
    /// Dropped before it is ready, the pool is closed all the same, and connections end with the last
    /// channel.
    pub async fn close(&self) -> PoolClosed {
        let Shared { channels, conns, settings, checks, .. } = &*self.shared;
        channels.close();
        checks.stop();
        let drained = timeout(settings.drain, conns.drained()).await.is_ok();
        let channels_left = if drained { 0 } else { conns.leased() };
        let mut closing = JoinSet::new();
        for conn in conns.close() {
            closing.spawn(conn.close());
        }
        let mut connections_closed = 0;
        while let Some(closed) = closing.join_next().await {
            connections_closed += usize::from(matches!(closed, Ok(Ok(_))));
        }
        PoolClosed { channels_left, connections_closed }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.channels.is_closed()
    }

    /// The checks begin with the first call, since a task needs a runtime.
    fn checked(&self) {
        let weak: Weak<_> = Arc::downgrade(&self.shared);
        self.shared.checks.start(self.shared.settings.check_every, weak);
    }

    fn of(settings: Settings) -> Self {
        let conns = Arc::new(Conns::new(&settings));
        let keeper = Keeper::new(conns.clone());
        let config = managed::PoolConfig {
            max_size: settings.channels(),
            timeouts: managed::Timeouts::new(),
            // So that what is not needed becomes idle.
            queue_mode: managed::QueueMode::Lifo,
        };
        let channels = managed::Pool::builder(keeper).config(config);
        let channels = match channels.build() {
            Ok(channels) => channels,
            // Only deadlines of the pool's own can fail, and it has none.
            Err(never) => unreachable!("{never}"),
        };
        let shared = Shared {
            channels,
            conns,
            settings,
            checks: Checks::default(),
            purpose: std::marker::PhantomData,
        };
        ChanPool { shared: Arc::new(shared) }
    }
}

impl<M: PoolMode, P: Purpose> Drop for Shared<M, P> {
    fn drop(&mut self) {
        self.checks.stop();
    }
}

// Not derived: neither the mode nor the purpose is a value.
impl<M: PoolMode, P: Purpose> Clone for ChanPool<M, P> {
    fn clone(&self) -> Self {
        ChanPool { shared: self.shared.clone() }
    }
}

impl<M: PoolMode, P: Purpose> fmt::Debug for ChanPool<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolStatus { channels, in_use, connections, .. } = self.status();
        f.debug_struct(&format!("ChanPool<{}, {}>", M::NAME, P::NAME))
            .field("channels", &channels)
            .field("in_use", &in_use)
            .field("connections", &connections.len())
            .finish_non_exhaustive()
    }
}

/// When something was, for what ages.
fn older(since: Instant, than: Option<Duration>) -> bool {
    than.is_some_and(|than| since.elapsed() >= than)
}
