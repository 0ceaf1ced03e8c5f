//! Metrics, for whatever the [`metrics`](https://docs.rs/metrics) facade exports them to (feature
//! `metrics`).
//!
//! What a connection counts is read from its [statistics](crate::ConnectionStats) by a [`Reporter`], so
//! that a message costs nothing for it. Workers, publishers and calls of this module report by
//! themselves, as things happen.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
//! # let uri = broker.uri();
//! use std::time::Duration;
//! use hopmq::{Conn, Uri, service::metrics::{self, Reporter}};
//!
//! // First an exporter is installed, as `metrics_exporter_prometheus::PrometheusBuilder` does; then:
//! metrics::describe();
//! let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
//! let reporter = Reporter::new(conn.state_changes(), "orders").every(Duration::from_secs(10));
//! tokio::spawn(reporter.run()); // ends with the connection
//! # Ok(()) }
//! ```
//!
//! # Names
//!
//! Counters only grow, through every reconnect; gauges say what is now. All are in [`ALL`].
//!
#![doc = include_str!("names.md")]
//!
//! The label `state` is a [`ConnectionState`](crate::ConnectionState) in lower case with underscores,
//! `kind` what [`Error::kind`](crate::Error::kind) or [`PublishError::kind`](super::PublishError::kind)
//! say, and `outcome` of a handler `ok`, `transient` or `permanent`; of a message that a worker
//! settled `completed`, `retried`, `parked`, `rejected`, `requeued`, or `stale` where the connection was
//! lost before, so that it comes again. The label `queue` is `amq.gen` for all queues whose names the
//! broker chose. A pool is reported by a `PoolReporter` (feature `pool`), its connections together under
//! its name; `reason` is the name of a field of its `Evictions`.

mod names;
#[cfg(feature = "pool")]
mod pool;
mod reporter;

pub use names::*;
#[cfg(feature = "pool")]
pub use pool::PoolReporter;
pub use reporter::Reporter;

use metrics::{Unit as FacadeUnit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// What is now.
    Gauge,
    /// How long things took, each of them.
    Histogram,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

/// A metric of this library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// The labels it has.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Tells the exporter that is installed what each metric says.
pub fn describe() {
    for metric in ALL {
        let unit = match metric.unit {
            Unit::Count => FacadeUnit::Count,
            Unit::Bytes => FacadeUnit::Bytes,
            Unit::Seconds => FacadeUnit::Seconds,
        };
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `names.md` has it.
    fn table() -> String {
        let mut table = String::from("| Name | Kind | Labels | Says |\n|---|---|---|---|\n");
        for Metric { name, kind, labels, help, .. } in ALL {
            let kind = format!("{kind:?}").to_lowercase();
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            table += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "));
        }
        table
    }

    #[test]
    fn the_documentation_lists_each_metric() {
        let documented = include_str!("names.md");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/service/metrics/names.md");
            std::fs::write(file, table()).unwrap();
        }
        assert_eq!(documented, table(), "UPDATE_SNAPSHOTS=1 writes it");
    }

    #[test]
    fn a_name_says_what_it_counts() {
        for Metric { name, kind, unit, .. } in ALL {
            assert!(name.starts_with("hopmq_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.contains("_bytes"), *unit == Unit::Bytes, "{name}");
            assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
        }
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len(), "each once");
    }
}
