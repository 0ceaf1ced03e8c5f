//! What a pool has, and what its connections count, reported at an interval.

use std::{collections::HashMap, fmt, time::Duration};

use metrics::{counter, gauge};
use tokio::time::sleep;

use super::{
    reporter::{INTERVAL, Label, Reported},
    *,
};
use crate::service::pool::{ChanPool, PoolMode, PoolStatus, Purpose};

/// Reports what a pool has, and what its connections count together, at an interval, until the pool is
/// closed or this is dropped: then its gauges are 0.
///
/// The pool's name is in the label `pool`, and in the label `connection` of the metrics that a
/// [`Reporter`] reports too: gauges and counters are sums over the pool's connections.
///
/// It is a handle on the pool: [close](ChanPool::close) the pool to end both.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Config, service::{metrics::PoolReporter, pool::ChanPool}};
///
/// let pool = ChanPool::publishing(uri.parse::<Config>()?).build()?;
/// let reporting = tokio::spawn(PoolReporter::new(&pool, "publishing").run());
/// # drop(pool.get().await?);
/// pool.close().await;
/// reporting.await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is reported until it is run"]
pub struct PoolReporter<M: PoolMode, P: Purpose> {
    pool: ChanPool<M, P>,
    label: Label,
    every: Duration,
    /// By the connection's number.
    connections: HashMap<u64, Reported>,
    /// By the metric's name and the reason.
    evicted: HashMap<(&'static str, &'static str), u64>,
}

impl<M: PoolMode, P: Purpose> PoolReporter<M, P> {
    /// Of that pool, under that name.
    pub fn new(pool: &ChanPool<M, P>, name: impl Into<String>) -> Self {
        PoolReporter {
            pool: pool.clone(),
            label: Label::new(name),
            every: INTERVAL,
            connections: HashMap::new(),
            evicted: HashMap::new(),
        }
    }

    /// How often it reports, every 5 seconds by itself.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Reports until the pool is closed, which it notices when it reports the next time.
    ///
    /// Dropped, it reports no more.
    pub async fn run(mut self) {
        while !self.pool.is_closed() {
            self.report();
            sleep(self.every).await;
        }
    }

    /// Reports now.
    pub fn report(&mut self) {
        let status = self.pool.status();
        self.label.set(status.connections.iter().map(|connection| &connection.stats));
        let is_there = |number| status.connections.iter().any(|one| one.number == number);
        self.connections.retain(|number, _| is_there(*number));
        for connection in &status.connections {
            let reported = self.connections.entry(connection.number).or_default();
            self.label.count(reported, &connection.stats);
        }
        for (name, value) in gauges(&status) {
            gauge!(name, "pool" => self.label.name()).set(value);
        }
        for (name, evictions) in [
            (POOL_EVICTIONS, status.evicted),
            (POOL_CONNECTION_EVICTIONS, status.connections_evicted),
        ] {
            for (reason, now) in evictions.by_reason() {
                let before = self.evicted.insert((name, reason), now).unwrap_or_default();
                counter!(name, "pool" => self.label.name(), "reason" => reason)
                    .increment(now.saturating_sub(before));
            }
        }
    }
}

/// Nobody looks at the pool any more.
impl<M: PoolMode, P: Purpose> Drop for PoolReporter<M, P> {
    fn drop(&mut self) {
        self.report();
        self.label.set([]);
        for (name, _) in gauges(&self.pool.status()) {
            gauge!(name, "pool" => self.label.name()).set(0.0);
        }
    }
}

fn gauges(status: &PoolStatus) -> [(&'static str, f64); 6] {
    let slowest = status.connections.iter().filter_map(|connection| connection.round_trip).max();
    [
        (POOL_CHANNELS, status.channels as f64),
        (POOL_CHANNELS_MAX, status.max_channels as f64),
        (POOL_IN_USE, status.in_use as f64),
        (POOL_WAITING, status.waiting as f64),
        (POOL_CONNECTIONS, status.connections.len() as f64),
        (POOL_ROUND_TRIP, slowest.unwrap_or_default().as_secs_f64()),
    ]
}

impl<M: PoolMode, P: Purpose> fmt::Debug for PoolReporter<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolReporter").field("name", &self.label.name()).finish_non_exhaustive()
    }
}
