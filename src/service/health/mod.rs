//! How connections and pools are doing, for probes of whatever runs the program.
//!
//! A [`Health`] looks at the state of each connection's machine, and makes a round trip at an interval:
//! a channel is opened, for which every user has permission, and closed again. It serves no HTTP: a
//! [`Probe`] is a status code and a text for whatever does, as Kubernetes'
//! [`httpGet`](https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/)
//! asks it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
//! # let uri = broker.uri();
//! use std::{sync::Arc, time::Duration};
//! use hopmq::{Conn, Uri, service::health::Health};
//!
//! let conn = Arc::new(Conn::new(uri.parse::<Uri>()?).connect().await?);
//! let health = Health::builder()
//!     .connection("orders", &conn)
//!     .every(Duration::from_secs(10))
//!     .on_failure(|failed| eprintln!("{}: {}", failed.name, failed.reasons.join("; ")))
//!     .build();
//! tokio::spawn(health.run());                 // ends with the last handle on `health`
//!
//! let report = health.check().await;          // now, beside the interval
//! assert!(report.is_live() && report.is_ready());
//! assert_eq!(report.readiness().status, 200);
//! assert!(report.sources[0].round_trip.is_some());
//! # Ok(()) }
//! ```
//!
//! # What is said when
//!
//! | The connection | [`Level`] | live | ready |
//! |---|---|---|---|
//! | is connected, and answered the last check | up | yes | yes |
//! | is degraded: publishers blocked, signs of life late, something not recovered, reasons of the program's own | degraded | yes | yes |
//! | is being made or recovered, or its breaker is open | down | yes | no |
//! | did not answer the last check | down | yes | no |
//! | has ended for good | down | **no** | no |
//!
//! A connection that this program has closed or dropped is left out. A pool is up when all of its connections are, degraded when only some are, and live whatever happens,
//! since it replaces what has ended.
//!
//! # What fails is recovered
//!
//! A lost connection is dialled again by its own machine. A pool gives up a connection that does not answer
//! and dials another, at each check. What nobody can recover from within, a connection that has given up,
//! makes the program not live, so that it is started again; [`HealthBuilder::on_failure`] says so first.

mod look;
mod report;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::sleep;

use self::look::{Answer, Source};
pub use self::report::{Level, Probe, Report, SourceHealth};
use super::meter;
use crate::{Conn, Connected};

/// How often, unless [`HealthBuilder::every`] says otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer may take, unless [`HealthBuilder::within`] says otherwise.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks after connections and pools; clones are handles on the same. It does not keep connections
/// alive, though it does pools.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

/// What is to be looked after; see [`Health::builder`].
#[must_use = "nothing is checked until it is built"]
pub struct HealthBuilder {
    every: Duration,
    within: Duration,
    sources: Vec<Watched>,
    on_failure: Option<OnFailure>,
}

type OnFailure = Box<dyn Fn(&SourceHealth) + Send + Sync>;

struct Shared {
    every: Duration,
    within: Duration,
    sources: Vec<Watched>,
    on_failure: Option<OnFailure>,
}

/// A connection or a pool, and what was found out about it.
struct Watched {
    name: String,
    source: Source,
    found: Mutex<Found>,
}

#[derive(Clone, Debug, Default)]
struct Found {
    checks: u64,
    failures: u64,
    round_trip: Option<Duration>,
    slowest: Option<Duration>,
    /// Why the last check was not answered.
    unanswered: Option<String>,
    /// It was down when somebody looked last, so that nobody is told twice.
    was_down: bool,
}

impl Health {
    /// What is to be looked after.
    pub fn builder() -> HealthBuilder {
        HealthBuilder { every: INTERVAL, within: WITHIN, sources: Vec::new(), on_failure: None }
    }

    /// Checks at the interval, the first time at once, until the last handle is dropped. For a task:
    /// `tokio::spawn(health.run())`.
    ///
    /// Dropped, it checks no more.
    pub fn run(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared: Weak<Shared> = Arc::downgrade(&self.shared);
        async move {
            loop {
                // Not held while it sleeps.
                let every = match shared.upgrade() {
                    Some(shared) => {
                        Health { shared: shared.clone() }.check().await;
                        shared.every
                    }
                    None => return,
                };
                sleep(every).await;
            }
        }
    }

    /// Makes a round trip on every connection that is up, on all at once, and says how all is.
    ///
    /// Dropped before it is ready, answers that were on their way are not counted.
    pub async fn check(&self) -> Report {
        let Shared { sources, within, .. } = &*self.shared;
        let mut checks = tokio::task::JoinSet::new();
        for (index, watched) in sources.iter().enumerate() {
            let check = watched.source.check(*within);
            checks.spawn(async move { (index, check.await) });
        }
        while let Some(checked) = checks.join_next().await {
            if let Ok((index, answer)) = checked
                && let Some(watched) = sources.get(index)
            {
                match &answer {
                    Answer::Within(time) => meter::health_checked(&watched.name, Some(*time)),
                    Answer::Failed(_) => meter::health_checked(&watched.name, None),
                    Answer::NotAsked => {}
                }
                watched.found().take(answer);
            }
        }
        sources.iter().for_each(|watched| self.tell(watched));
        self.report()
    }

    /// How all is, without asking the broker: the state of each connection now, and what the last check
    /// found.
    pub fn report(&self) -> Report {
        Report { sources: self.shared.sources.iter().filter_map(Watched::health).collect() }
    }

    /// Says what is down that was not before.
    fn tell(&self, watched: &Watched) {
        let Some(health) = watched.health() else { return };
        let is_down = health.level == Level::Down;
        let was_down = std::mem::replace(&mut watched.found().was_down, is_down);
        if is_down && !was_down {
            tracing::warn!(name = health.name, reasons = ?health.reasons, "not healthy");
            if let Some(on_failure) = &self.shared.on_failure {
                on_failure(&health);
            }
        }
    }
}

impl HealthBuilder {
    /// A connection, under a name of its own. It is not kept alive, and left out of reports once it was
    /// dropped.
    pub fn connection(mut self, name: impl Into<String>, conn: &Arc<Conn<Connected>>) -> Self {
        self.watch(name.into(), Source::Conn(Arc::downgrade(conn)));
        self
    }

    /// A pool, under a name of its own. Each check is one of the pool's own too; a pool without any
    /// connection dials one for it.
    #[cfg(feature = "pool")]
    pub fn pool<M, P>(mut self, name: impl Into<String>, pool: &super::pool::ChanPool<M, P>) -> Self
    where
        M: super::pool::PoolMode,
        P: super::pool::Purpose,
    {
        self.watch(name.into(), Source::Pool(Arc::new(pool.clone())));
        self
    }

    /// How often [`Health::run`] checks, 10 seconds by itself.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// How long a check waits for an answer, 5 seconds by itself. A pool has its own `check_within`.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Called when a check finds something down that was not before; it must not block.
    pub fn on_failure(mut self, tell: impl Fn(&SourceHealth) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(tell));
        self
    }

    /// Looks after them; periodically once [`Health::run`] runs.
    pub fn build(self) -> Health {
        let HealthBuilder { every, within, sources, on_failure } = self;
        Health { shared: Arc::new(Shared { every, within, sources, on_failure }) }
    }

    fn watch(&mut self, name: String, source: Source) {
        self.sources.push(Watched { name, source, found: Mutex::default() });
    }
}

impl Watched {
    /// `None` once it is gone.
    fn health(&self) -> Option<SourceHealth> {
        let found = self.found().clone();
        let mut look = self.source.look()?;
        if let Some(why) = found.unanswered {
            look.level = Level::Down;
            look.reasons.push(why);
        }
        Some(SourceHealth {
            name: self.name.clone(),
            level: look.level,
            is_live: look.is_live,
            state: look.state,
            reasons: look.reasons,
            round_trip: found.round_trip,
            slowest: found.slowest,
            checks: found.checks,
            failures: found.failures,
        })
    }

    /// Nothing within can leave it half changed.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn take(&mut self, answer: Answer) {
        self.unanswered = None;
        match answer {
            Answer::Within(time) => {
                self.checks += 1;
                self.round_trip = Some(time);
                self.slowest = self.slowest.max(Some(time));
            }
            Answer::Failed(why) => {
                self.checks += 1;
                self.failures += 1;
                self.round_trip = None;
                self.unanswered = Some(why);
            }
            // The state says it all.
            Answer::NotAsked => self.round_trip = None,
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("sources", &self.report().sources).finish_non_exhaustive()
    }
}

impl fmt::Debug for HealthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.sources.iter().map(|watched| &watched.name).collect();
        f.debug_struct("HealthBuilder").field("sources", &names).finish_non_exhaustive()
    }
}
