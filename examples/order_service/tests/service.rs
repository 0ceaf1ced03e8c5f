//! The service from its outside: HTTP in, on an embedded broker of each test's own.

use std::time::Duration;

use hopmq::broker::Broker;
use order_service::{BoxError, Settings};

use kit::{start, within};

#[allow(dead_code)] // What other tests need.
mod kit;

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
        let settings =
            Settings { apples: 0, max_retries: 1_000_000, retry_delay, ..Settings::default() };
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
        let parked = r#"hopmq_messages_processed_total{queue="orders.ship",outcome="parked"} 1"#;
        service.until("/metrics", parked).await?;
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
        let (status, report) = service.ask("GET", "/health/ready", "").await?;
        assert_eq!(status, 200);
        let named = ["publishing", "consuming"].map(|name| format!(r#""name":"{name}""#));
        assert!(named.iter().all(|name| report.contains(name)), "{report}");
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
