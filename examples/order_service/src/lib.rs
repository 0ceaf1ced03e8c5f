//! A service around a broker: HTTP in, published at least once, consumed with retries and dead letters.
//!
//! - `orders.rs`: what an order is, and how one is shipped;
//! - `messaging.rs`: exchange, queues, publisher and worker;
//! - `http.rs`: the ways in, health, metrics;
//! - `telemetry.rs`: logs, and where metrics and traces go.

mod http;
mod messaging;
mod orders;
mod telemetry;

use std::{future::Future, sync::Arc};

use hopmq::Config;
pub use hopmq::service::BoxError;
use tokio::{net::TcpListener, sync::watch};

pub use messaging::Settings;
pub use orders::{Order, Warehouse};
pub use telemetry::{Telemetry, Traces};

use messaging::Messaging;

/// The service, connected and consuming.
pub struct Service {
    messaging: Messaging,
    stop: watch::Sender<bool>,
}

impl Service {
    /// Connects, declares what it needs, and begins to consume.
    pub async fn start(config: Config, settings: Settings) -> Result<Self, BoxError> {
        let (stop, stopped) = watch::channel(false);
        let messaging = Messaging::start(config, settings, stopped).await?;
        Ok(Service { messaging, stop })
    }

    /// Serves HTTP until `shutdown` is ready. Then it takes no more requests, answers those it has,
    /// finishes the orders that are being shipped, and closes its connections.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), BoxError> {
        let Service { messaging, stop } = self;
        let app = http::router(Arc::new(messaging.state()));
        axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
        stop.send_replace(true);
        messaging.finish().await
    }
}
