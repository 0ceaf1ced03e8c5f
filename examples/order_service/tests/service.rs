//! The service from its outside: HTTP in, on an embedded broker of each test's own.

use std::{future::Future, net::SocketAddr, time::Duration};

use hopmq::broker::Broker;
use order_service::{BoxError, Service, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Nothing here takes that long: what does hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    service: JoinHandle<Result<(), BoxError>>,
}

async fn start(broker: &str, settings: Settings) -> Result<Running, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Service::start(broker.parse()?, settings).await?;
    let (stop, stopped) = oneshot::channel();
    let service = tokio::spawn(service.serve(listener, async { drop(stopped.await) }));
    Ok(Running { address, stop, service })
}

impl Running {
    /// The status and the body of an answer.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), BoxError> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).ok_or("no status")?.parse()?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body")?;
        Ok((status, body.to_owned()))
    }

    async fn order(&self, customer: &str, apples: u32) -> Result<u16, BoxError> {
        let body = format!(r#"{{"customer": "{customer}", "apples": {apples}}}"#);
        Ok(self.ask("POST", "/orders", &body).await?.0)
    }

    /// Asks again until the body is as expected.
    async fn until(&self, path: &str, expected: &str) -> Result<(), BoxError> {
        while !self.ask("GET", path, "").await?.1.contains(expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn stop(self) -> Result<(), BoxError> {
        let _ = self.stop.send(());
        self.service.await?
    }
}

async fn within(test: impl Future<Output = Result<(), BoxError>>) -> Result<(), BoxError> {
    tokio::time::timeout(WATCHDOG, test).await?
}

#[tokio::test]
async fn an_order_is_shipped() -> Result<(), BoxError> {
    within(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let service = start(&broker.uri(), Settings::default()).await?;
        assert_eq!(service.order("ada", 12).await?, 202);
        assert_eq!(service.order("ada", 3).await?, 202);
        service.until("/shipped/ada", r#""apples":15"#).await?;
        service.stop().await
    })
    .await
}

#[tokio::test]
async fn what_is_not_in_stock_is_shipped_later() -> Result<(), BoxError> {
    within(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let retry_delay = Duration::from_millis(20);
        let settings = Settings { apples: 0, max_retries: 1_000_000, retry_delay };
        let service = start(&broker.uri(), settings).await?;
        assert_eq!(service.order("ada", 12).await?, 202);
        assert_eq!(service.ask("POST", "/apples/12", "").await?.0, 204);
        service.until("/shipped/ada", r#""apples":12"#).await?;
        service.stop().await
    })
    .await
}

#[tokio::test]
async fn what_nobody_can_ship_is_parked_and_shows() -> Result<(), BoxError> {
    within(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let service = start(&broker.uri(), Settings::default()).await?;
        assert_eq!(service.order("ada", 0).await?, 202);
        service.until("/metrics", "order_service_messages{queue=\"parked\"} 1\n").await?;
        service.stop().await
    })
    .await
}

#[tokio::test]
async fn what_is_no_order_is_refused() -> Result<(), BoxError> {
    within(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let service = start(&broker.uri(), Settings::default()).await?;
        assert_eq!(service.ask("POST", "/orders", r#"{"customer": 7}"#).await?.0, 422);
        service.stop().await
    })
    .await
}

#[tokio::test]
async fn its_health_follows_the_broker() -> Result<(), BoxError> {
    within(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let service = start(&broker.uri(), Settings::default()).await?;
        assert_eq!(service.ask("GET", "/health/live", "").await?.0, 200);
        assert_eq!(service.ask("GET", "/health/ready", "").await?.0, 200);
        drop(broker);
        while service.ask("GET", "/health/ready", "").await?.0 != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(service.ask("GET", "/health/live", "").await?.0, 200, "it tries again");
        service.service.abort();
        Ok(())
    })
    .await
}
