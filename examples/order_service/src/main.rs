//! Orders come in over HTTP, go through a broker, and are shipped: `cargo run` here, and nothing else to
//! install. With `AMQP_URL` set it uses that broker instead of an embedded one, and with
//! `OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318` it sends its traces to a collector there.

use hopmq::{Config, broker::Broker};
use order_service::{BoxError, Service, Telemetry, Traces};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let _telemetry = Telemetry::install(Traces::from_env())?;
    let embedded;
    let config: Config = match std::env::var("AMQP_URL") {
        Ok(url) => url.parse()?,
        Err(_) => {
            embedded = Broker::bind("127.0.0.1:0").await?;
            println!("an embedded broker at {}", embedded.uri());
            embedded.uri().parse()?
        }
    };
    let address = std::env::var("HTTP_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!(
        "try: curl -i -H 'content-type: application/json' -d '{{\"customer\": \"ada\", \"apples\": 12}}' \
         http://{}/orders",
        listener.local_addr()?
    );
    let service = Service::start(config, Default::default()).await?;
    service.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}
