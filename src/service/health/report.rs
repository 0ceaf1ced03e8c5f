//! What is said of connections and pools, and in what form.

use std::{fmt, time::Duration};

/// How something is. The better compares as less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All is well.
    Up,
    /// It works, though something is wrong: the reasons say what.
    Degraded,
    /// It does not work now.
    Down,
}

/// How all is that is looked after.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// One for each, in the order in which they were given.
    pub sources: Vec<SourceHealth>,
}

/// How a connection or a pool is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceHealth {
    /// The name it was given.
    pub name: String,
    /// How it is.
    pub level: Level,
    /// Whether it may get well by itself.
    pub is_live: bool,
    /// The state of its machine in words, e.g. `Connected`; of a pool, how many connections are up.
    pub state: String,
    /// Why it is not up; empty when it is.
    pub reasons: Vec<String>,
    /// How long the round trip of the last check took, the slowest of a pool's; `None` when it was not
    /// answered, or not asked for.
    pub round_trip: Option<Duration>,
    /// How long the slowest took so far.
    pub slowest: Option<Duration>,
    /// Checks that were made.
    pub checks: u64,
    /// Those that were not answered in time.
    pub failures: u64,
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Probe {
    /// HTTP's status code: 200, or 503.
    pub status: u16,
    /// What it means and why, a line for each source.
    pub text: String,
}

impl Report {
    /// The worst there is; up when nothing is looked after.
    pub fn level(&self) -> Level {
        self.sources.iter().map(|source| source.level).max().unwrap_or(Level::Up)
    }

    /// Whether it makes sense to let the program run: until something has ended that cannot get well by
    /// itself.
    pub fn is_live(&self) -> bool {
        self.sources.iter().all(|source| source.is_live)
    }

    /// Whether the program can do its work now: nothing is down.
    pub fn is_ready(&self) -> bool {
        self.level() != Level::Down
    }

    /// The answer to a liveness probe: at 503 Kubernetes starts the program again.
    pub fn liveness(&self) -> Probe {
        self.probe(self.is_live(), "live", "not live")
    }

    /// The answer to a readiness probe: at 503 Kubernetes sends the program nothing.
    pub fn readiness(&self) -> Probe {
        self.probe(self.is_ready(), "ready", "not ready")
    }

    fn probe(&self, holds: bool, yes: &str, no: &str) -> Probe {
        let (status, answer) = if holds { (200, yes) } else { (503, no) };
        Probe { status, text: format!("{answer}\n{self}") }
    }

    /// The same as JSON, for whoever reads it by program (feature `json`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// # let health = hopmq::service::health::Health::builder().connection("orders", &std::sync::Arc::new(conn)).build();
    /// let json = health.check().await.to_json();
    /// // {"live":true,"ready":true,"sources":[{"name":"orders","status":"up","state":"Connected",
    /// //   "reasons":[],"round_trip_seconds":0.0002,"slowest_seconds":0.0002,"checks":1,"failures":0}]}
    /// # assert!(json.contains(r#""ready":true"#) || json.contains(r#""ready":false"#), "{json}");
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> String {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let sources: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                serde_json::json!({
                    "name": source.name,
                    "status": source.level.name(),
                    "live": source.is_live,
                    "state": source.state,
                    "reasons": source.reasons,
                    "round_trip_seconds": seconds(source.round_trip),
                    "slowest_seconds": seconds(source.slowest),
                    "checks": source.checks,
                    "failures": source.failures,
                })
            })
            .collect();
        let report = serde_json::json!({
            "live": self.is_live(),
            "ready": self.is_ready(),
            "status": self.level().name(),
            "sources": sources,
        });
        report.to_string()
    }
}

impl Level {
    /// In one word: `up`, `degraded`, `down`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Up => "up",
            Level::Degraded => "degraded",
            Level::Down => "down",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line for each source.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sources.iter().try_for_each(|source| writeln!(f, "{source}"))
    }
}

impl fmt::Display for SourceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.name, self.level, self.state)?;
        if let Some(round_trip) = self.round_trip {
            write!(f, ", answers in {round_trip:?}")?;
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "; {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, level: Level, is_live: bool) -> SourceHealth {
        SourceHealth {
            name: name.to_owned(),
            level,
            is_live,
            state: "Connected".to_owned(),
            reasons: vec!["publishers are blocked: low on \"memory\"".to_owned()],
            round_trip: Some(Duration::from_millis(2)),
            slowest: Some(Duration::from_millis(3)),
            checks: 2,
            failures: 1,
        }
    }

    #[test]
    fn the_worst_decides() {
        let report = |levels: &[(Level, bool)]| Report {
            sources: levels.iter().map(|(level, live)| source("a", *level, *live)).collect(),
        };
        let (up, degraded) = ((Level::Up, true), (Level::Degraded, true));
        for (levels, live, ready) in [
            (&[][..], 200, 200),
            (&[up], 200, 200),
            (&[up, degraded], 200, 200),
            (&[(Level::Down, true), up], 200, 503),
            (&[up, (Level::Down, false)], 503, 503),
        ] {
            let report = report(levels);
            assert_eq!((report.liveness().status, report.readiness().status), (live, ready));
        }
    }

    #[test]
    fn a_probe_says_why() {
        let report = Report { sources: vec![source("orders", Level::Degraded, true)] };
        let text = "ready\norders: degraded, Connected, answers in 2ms; publishers are blocked: low on \"memory\"\n";
        assert_eq!(report.readiness().text, text);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_has_all_of_it() {
        let report = Report { sources: vec![source("orders", Level::Down, true)] };
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let expected = serde_json::json!({
            "live": true, "ready": false, "status": "down",
            "sources": [{
                "name": "orders", "status": "down", "live": true, "state": "Connected",
                "reasons": ["publishers are blocked: low on \"memory\""],
                "round_trip_seconds": 0.002, "slowest_seconds": 0.003, "checks": 2, "failures": 1,
            }],
        });
        assert_eq!(json, expected);
    }
}
