//! Orders come in over HTTP, go through a broker, and are shipped: `cargo run` here, and nothing else to
//! install. With `AMQP_URL` set it uses that broker instead of an embedded one.

use hopmq::{Config, broker::Broker};
use order_service::{BoxError, Service};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().init();
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
