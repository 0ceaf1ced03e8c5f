//! What the service tells of itself: logs, metrics for Prometheus, traces for OpenTelemetry.

mod collector;

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::BoxError;
use collector::Collector;

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traces {
    /// To a collector, by OTLP over HTTP: an address as `http://localhost:4318`.
    Collector(String),
    /// To the standard output, for a look without any collector.
    Console,
    /// Nowhere.
    Off,
}

/// Ends in order: what is not exported yet goes out when this is dropped.
#[must_use = "dropped, no more traces are exported"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// To the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, as every OpenTelemetry exporter
    /// has it; without one to the console, or nowhere with `OTEL_TRACES_EXPORTER=none`.
    pub fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (set("OTEL_EXPORTER_OTLP_ENDPOINT"), set("OTEL_TRACES_EXPORTER").as_deref()) {
            (_, Some("none")) => Traces::Off,
            (Some(address), None | Some("otlp")) => Traces::Collector(address),
            _ => Traces::Console,
        }
    }

    fn provider(self) -> Result<Option<SdkTracerProvider>, BoxError> {
        let resource = Resource::builder().with_service_name("order_service").build();
        let builder = SdkTracerProvider::builder().with_resource(resource);
        Ok(match self {
            Traces::Off => None,
            Traces::Console => Some(
                builder.with_simple_exporter(opentelemetry_stdout::SpanExporter::default()).build(),
            ),
            Traces::Collector(address) => {
                let exporter = SpanExporter::builder()
                    .with_http()
                    .with_http_client(Collector)
                    .with_endpoint(format!("{}/v1/traces", address.trim_end_matches('/')))
                    .build()?;
                Some(builder.with_batch_exporter(exporter).build())
            }
        })
    }
}

impl Telemetry {
    /// Installs all three for the whole process: once, before the service starts.
    pub fn install(traces: Traces) -> Result<Self, BoxError> {
        prometheus();
        let provider = traces.provider()?;
        // A connection's long states are for logs; traces are of requests and messages.
        let requests = Targets::new()
            .with_target("order_service", tracing::Level::INFO)
            .with_target("hopmq::service", tracing::Level::INFO);
        let layer = provider.as_ref().map(|provider| {
            let tracer = provider.tracer("order_service");
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(requests)
        });
        let logs =
            tracing_subscriber::fmt::layer().with_filter(tracing::level_filters::LevelFilter::INFO);
        tracing_subscriber::registry().with(layer).with(logs).try_init()?;
        Ok(Telemetry { provider })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            eprintln!("traces were lost: {error}");
        }
    }
}

/// What is measured, in Prometheus' words.
pub(crate) fn prometheus() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        // From half a millisecond to half a minute.
        let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
        let seconds = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds);
        let handle = seconds
            .and_then(PrometheusBuilder::install_recorder)
            .expect("buckets, and nobody else who records");
        hopmq::service::metrics::describe();
        metrics::describe_gauge!(crate::http::WAITING, "Messages that wait in a queue");
        handle
    })
}

/// Lets go of what histograms gathered, as long as it is awaited: nobody may ever ask for the metrics.
pub(crate) async fn keep_up() {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        prometheus().run_upkeep();
    }
}
