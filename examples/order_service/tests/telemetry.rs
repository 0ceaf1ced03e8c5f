//! What the service tells of itself, from its outside: metrics, health, traces. In a process of its own,
//! since whoever records metrics and traces does so for the whole process.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use hopmq::{broker::Broker, service::metrics::ALL};
use order_service::{BoxError, Settings, Telemetry, Traces};
use regex_lite::Regex;

use kit::{Running, start, within};

#[allow(dead_code)] // What other tests need.
mod kit;

/// The trace that the test says it belongs to.
const TRACE: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
const TRACEPARENT: &str =
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// A collector of OTLP over HTTP that keeps what it is sent, as it is.
#[derive(Clone)]
struct Collector {
    address: String,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let bodies = Arc::default();
        let collector = Collector { address, bodies };
        let keep = collector.bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let (mut line, mut length) = (String::new(), 0);
                reader.read_line(&mut line).expect("a request");
                assert!(line.starts_with("POST /v1/traces "), "{line}");
                while line != "\r\n" {
                    line.clear();
                    reader.read_line(&mut line).expect("a header");
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.trim().parse().expect("a length");
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                keep.lock().expect("unpoisoned").extend(body);
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Ok(collector)
    }

    fn count(&self, part: &[u8]) -> usize {
        let bodies = self.bodies.lock().expect("unpoisoned");
        bodies.windows(part.len()).filter(|window| *window == part).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_does_is_measured_and_traced() -> Result<(), BoxError> {
    within(async {
        let collector = Collector::start()?;
        let telemetry = Telemetry::install(Traces::Collector(collector.address.clone()))?;
        let broker = Broker::bind("127.0.0.1:0").await?;
        let report_every = Duration::from_millis(10);
        let settings = Settings { report_every, ..Settings::default() };
        let service = start(&broker.uri(), settings).await?;

        let order = r#"{"customer": "ada", "apples": 12}"#;
        assert_eq!(service.ask_with(TRACEPARENT, "POST", "/orders", order).await?.0, 202);
        assert_eq!(service.order("ada", 0).await?, 202, "which nobody can ship");
        service.until("/shipped/ada", r#""apples":12"#).await?;
        measured(&service).await?;
        assert_eq!(service.ask("GET", "/health/live", "").await?.0, 200);
        let (status, health) = service.ask("GET", "/health/ready", "").await?;
        assert_eq!(status, 200);
        assert!(health.contains(r#""ready":true"#), "{health}");

        broker.faults().cut_connections();
        for connection in ["publishing", "consuming"] {
            let back = format!(r#"hopmq_reconnects_total{{connection="{connection}"}} 1"#);
            service.until("/metrics", &back).await?;
        }
        service.stop().await?;

        // What is not exported yet goes out at the end.
        tokio::task::spawn_blocking(|| drop(telemetry)).await?;
        for name in ["POST /orders", "publish orders", "process orders.ship"] {
            assert!(collector.count(name.as_bytes()) > 0, "{name} is not traced");
        }
        assert!(collector.count(b"order_service") > 0, "whose traces they are");
        // Request, publish and process are of the requester's trace.
        assert_eq!(collector.count(&TRACE), 3);
        Ok(())
    })
    .await
}

async fn measured(service: &Running) -> Result<(), BoxError> {
    for line in [
        r#"hopmq_connection_up{connection="publishing"} 1"#,
        r#"hopmq_connection_state{connection="consuming",state="connected"} 1"#,
        r#"hopmq_messages_published_total{connection="publishing"} 2"#,
        r#"hopmq_messages_confirmed_total{connection="publishing"} 2"#,
        r#"hopmq_messages_delivered_total{connection="consuming"} 2"#,
        r#"hopmq_messages_processed_total{queue="orders.ship",outcome="completed"} 1"#,
        r#"hopmq_messages_processed_total{queue="orders.ship",outcome="parked"} 1"#,
        r#"hopmq_handler_seconds_count{queue="orders.ship",outcome="permanent"} 1"#,
        r#"hopmq_confirm_seconds_bucket{exchange="orders",le="+Inf"} 2"#,
        r#"hopmq_unsettled{connection="consuming"} 0"#,
        r#"order_service_messages_waiting{queue="orders.ship"} 0"#,
        r#"order_service_messages_waiting{queue="orders.ship.parked"} 1"#,
        "# HELP hopmq_confirm_seconds From publishing a message to its confirm",
        "# TYPE hopmq_confirm_seconds histogram",
    ] {
        let found = tokio::time::timeout(Duration::from_secs(30), service.until("/metrics", line));
        match found.await {
            Ok(found) => found?,
            Err(_) => {
                let (_, text) = service.ask("GET", "/metrics", "").await?;
                return Err(format!("{line} is not in\n{text}").into());
            }
        }
    }
    Ok(())
}

/// Each expression of the dashboard asks for metrics that exist, by labels that they have.
#[test]
fn the_dashboard_shows_what_is_measured() -> Result<(), BoxError> {
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../grafana.json"))?;
    let mut queried = BTreeSet::new();
    let (name, by) =
        (Regex::new(r"\b(hopmq|order_service)_[a-z_]+")?, Regex::new(r"by \(([^)]*)\)")?);
    let label = Regex::new(r#"([a-z_]+)=~?""#)?;
    let panels = dashboard["panels"].as_array().ok_or("no panels")?;
    let mut expressions = 0;
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().ok_or("a panel without a query")? {
            let expression = target["expr"].as_str().ok_or("a query without an expression")?;
            expressions += 1;
            let asked: Vec<_> = name.find_iter(expression).map(|found| found.as_str()).collect();
            assert!(!asked.is_empty(), "{expression}");
            let mut labels = BTreeSet::from(["le"]);
            for name in asked {
                // What Prometheus makes of a histogram.
                let ends = ["_bucket", "_sum", "_count"];
                let base = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                let metric = ALL.iter().find(|metric| metric.name == base);
                match metric {
                    Some(metric) => labels.extend(metric.labels),
                    None => {
                        assert_eq!(name, "order_service_messages_waiting", "nothing measures it");
                        labels.insert("queue");
                    }
                }
                queried.insert(name.to_owned());
            }
            let grouped = by.captures_iter(expression).flat_map(|by| {
                by.get(1).map_or("", |found| found.as_str()).split(", ").collect::<Vec<_>>()
            });
            let chosen =
                label.captures_iter(expression).filter_map(|found| Some(found.get(1)?.as_str()));
            for label in grouped.chain(chosen) {
                assert!(labels.contains(label), "no label {label}: {expression}");
            }
        }
    }
    assert!(expressions >= 12 && queried.len() >= 12, "{queried:?}");
    Ok(())
}
