//! The right program survives the network: through a proxy that resets, cuts and swallows.

mod calls;
mod crowd;
mod cuts;
mod holes;
#[path = "../node/mod.rs"]
mod node;
mod proxy;
mod resets;
mod stalls;

use std::time::Duration;

use hopmq::{
    Config, Conn, Connected, ConnectionState, Uri,
    fsm::supervisor::{Backoff, Policy},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Every wait of a test ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Retries with a cap of a second.
fn config(uri: &str) -> Config {
    let millis = Duration::from_millis;
    Config::from(uri.parse::<Uri>().expect("an address")).recovery(Policy {
        backoff: Backoff::exponential(millis(50), millis(1000)),
        breaker: None,
        ..Policy::default()
    })
}

async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("within the test's patience")
}

async fn becomes(conn: &Conn<Connected>, wanted: impl Fn(ConnectionState) -> bool) {
    patiently(async {
        while !wanted(conn.state()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The address of the node that all tests share.
fn shared_node() -> std::net::SocketAddr {
    let uri = node::shared_uri();
    let (_, place) = uri.rsplit_once('@').expect("credentials in the address");
    place.parse().expect("an address and a port")
}
