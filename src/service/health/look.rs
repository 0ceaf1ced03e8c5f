//! Looking at connections and pools: their state, and a round trip.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Weak, time::Duration};

use tokio::time::Instant;

use super::Level;
use crate::{
    Conn, Connected, ConnectionState, ConnectionStats, Error, Hold, fsm::supervisor::Reasons,
};

/// What is looked at.
pub(super) enum Source {
    Conn(Weak<Conn<Connected>>),
    #[cfg(feature = "pool")]
    Pool(std::sync::Arc<dyn pool::Pooled>),
}

/// What is seen without asking anybody.
pub(super) struct Look {
    pub(super) level: Level,
    pub(super) is_live: bool,
    pub(super) state: String,
    pub(super) reasons: Vec<String>,
}

/// What came of a round trip.
#[derive(Debug)]
pub(super) enum Answer {
    Within(Duration),
    Failed(String),
    NotAsked,
}

pub(super) type Check = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Source {
    /// `None` once it is gone.
    pub(super) fn look(&self) -> Option<Look> {
        match self {
            Source::Conn(conn) => conn.upgrade().map(|conn| of_connection(&conn)),
            #[cfg(feature = "pool")]
            Source::Pool(pool) => Some(pool.look()),
        }
    }

    /// A round trip.
    pub(super) fn check(&self, within: Duration) -> Check {
        match self {
            Source::Conn(conn) => {
                let conn = conn.clone();
                Box::pin(async move { round_trip(&conn, within).await })
            }
            #[cfg(feature = "pool")]
            Source::Pool(pool) => pool.clone().check(),
        }
    }
}

/// Opens a channel, and closes it again. The connection is not kept alive meanwhile.
async fn round_trip(conn: &Weak<Conn<Connected>>, within: Duration) -> Answer {
    let Some(opening) = conn.upgrade().filter(|conn| answers(conn)).map(|conn| conn.open_channel())
    else {
        return Answer::NotAsked;
    };
    let since = Instant::now();
    match opening.within(within).while_recovering(Hold::FailFast).await {
        Ok(_) => Answer::Within(since.elapsed()),
        // All that may be are open: nothing was asked of the broker.
        Err(Error::TooManyChannels { .. }) => Answer::NotAsked,
        // It was lost or blocked meanwhile: its state says so.
        Err(_) if !conn.upgrade().is_some_and(|conn| answers(&conn)) => Answer::NotAsked,
        Err(error) => Answer::Failed(chain(&error)),
    }
}

/// Whether an answer can be expected: a broker with an alarm does not even read what publishers send.
fn answers(conn: &Conn<Connected>) -> bool {
    is_up(conn.state()) && conn.block_reason().is_none()
}

fn is_up(state: ConnectionState) -> bool {
    matches!(state, ConnectionState::Connected | ConnectionState::Degraded)
}

fn of_connection(conn: &Conn<Connected>) -> Look {
    let stats = conn.stats();
    let mut look = of_stats(&stats);
    if let Some(reason) = conn.block_reason() {
        look.reasons.push(format!("publishers are blocked: {reason}"));
    }
    if let Some(ended) = conn.close_reason() {
        look.is_live = false;
        look.reasons = vec![chain(&ended)];
    }
    look
}

fn of_stats(stats: &ConnectionStats) -> Look {
    let level = match stats.state {
        ConnectionState::Connected if !stats.is_blocked => Level::Up,
        ConnectionState::Connected | ConnectionState::Degraded => Level::Degraded,
        _ => Level::Down,
    };
    let mut reasons = Vec::new();
    match level {
        Level::Up => {}
        Level::Degraded => reasons.extend(degraded(stats)),
        Level::Down => reasons.extend(stats.last_error.as_ref().map(chain)),
    }
    Look { level, is_live: true, state: stats.state.to_string(), reasons }
}

/// Why it is degraded, all but the broker's reason for blocking.
fn degraded(stats: &ConnectionStats) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.reasons.contains(Reasons::LATE) {
        reasons.push("signs of life are late".to_owned());
    }
    if stats.reasons.contains(Reasons::PARTIAL) {
        let missing = stats.not_recovered.iter();
        reasons.extend(missing.map(|one| format!("{} is not back: {}", one.entity, one.reason)));
    }
    if stats.reasons.contains(Reasons::MISSED) {
        reasons.push("events may have been missed".to_owned());
    }
    for number in (0..16).filter(|number| stats.reasons.contains(Reasons::own(*number))) {
        reasons.push(format!("the program's own reason {number}"));
    }
    reasons
}

/// An error with what caused it, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        source = deeper.source();
    }
    text
}

#[cfg(feature = "pool")]
mod pool {
    use std::{sync::Arc, time::Duration};

    use tokio::time::Instant;

    use super::{Answer, Check, Look, chain, is_up, of_stats};
    use crate::service::{
        health::Level,
        pool::{ChanPool, ConnectionStatus, PoolError, PoolMode, Purpose},
    };

    /// A pool of whatever.
    pub(in crate::service::health) trait Pooled: Send + Sync {
        fn look(&self) -> Look;
        fn check(self: Arc<Self>) -> Check;
    }

    impl<M: PoolMode, P: Purpose> Pooled for ChanPool<M, P> {
        fn look(&self) -> Look {
            let connections = self.status().connections;
            let used = connections.iter().filter(|connection| !connection.is_retired);
            let looks: Vec<_> =
                used.map(|connection| (connection, of_stats(&connection.stats))).collect();
            let up = looks.iter().filter(|(connection, _)| is_up(connection.stats.state)).count();
            let level = match looks.iter().map(|(_, look)| look.level).max() {
                _ if self.is_closed() => Level::Down,
                // Nothing was needed yet; the check says whether it could be had.
                None | Some(Level::Up) => Level::Up,
                Some(Level::Down) if up == 0 => Level::Down,
                Some(_) => Level::Degraded,
            };
            let mut reasons: Vec<_> =
                looks.iter().flat_map(|(connection, look)| said(connection, look)).collect();
            if self.is_closed() {
                reasons.push("the pool is closed".to_owned());
            }
            Look {
                level,
                is_live: true,
                state: format!("{up} of {} connections up", looks.len()),
                reasons,
            }
        }

        fn check(self: Arc<Self>) -> Check {
            Box::pin(async move {
                if self.is_closed() {
                    return Answer::NotAsked;
                }
                ChanPool::check(&self).await;
                if self.status().connections.is_empty() {
                    return first(&self).await;
                }
                slowest(&self.status().connections).map_or(Answer::NotAsked, Answer::Within)
            })
        }
    }

    /// A pool without connections dials one.
    async fn first<M: PoolMode, P: Purpose>(pool: &ChanPool<M, P>) -> Answer {
        let since = Instant::now();
        match pool.get().await {
            Ok(_) => Answer::Within(since.elapsed()),
            Err(error @ PoolError::Timeout { .. }) => Answer::Failed(error.to_string()),
            Err(PoolError::Open(cause)) => Answer::Failed(chain(&cause)),
            Err(PoolError::Closed) => Answer::NotAsked,
        }
    }

    fn slowest(connections: &[ConnectionStatus]) -> Option<Duration> {
        connections.iter().filter_map(|connection| connection.round_trip).max()
    }

    /// What is wrong with one of its connections.
    fn said(connection: &ConnectionStatus, look: &Look) -> Vec<String> {
        let said = |what: &str| format!("connection {}: {what}", connection.number);
        let blocked = connection.stats.is_blocked.then(|| said("publishers are blocked"));
        let down = (look.level == Level::Down).then(|| said(&look.state));
        let reasons = look.reasons.iter().map(|reason| said(reason));
        blocked.into_iter().chain(down).chain(reasons).collect()
    }
}
