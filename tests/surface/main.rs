//! What stands on top of channels: publishers, batches, remote procedure calls, erased handles.
//! Each scenario runs on the embedded broker and on RabbitMQ.

use std::{error::Error, time::Duration};

use hopmq::{
    Conn, Connected, Uri,
    broker::{Broker, Listening},
};

mod any;
mod batch;
mod confirms;
mod publisher;
mod rpc;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Nothing here takes nearly as long.
const LONG: Duration = Duration::from_secs(20);

/// Runs scenarios, functions of an address, on both brokers.
macro_rules! on_both_brokers {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {$(
            #[tokio::test]
            async fn $scenario() -> $crate::Result {
                let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
                tokio::time::timeout($crate::LONG, super::$scenario($crate::connect(&broker.uri()).await?)).await?
            }
        )+}
        mod rabbitmq {$(
            #[tokio::test]
            #[ignore = "needs RabbitMQ: run tests/run"]
            async fn $scenario() -> $crate::Result {
                let uri = std::env::var("HOPMQ_TEST_AMQP_URL")?;
                tokio::time::timeout($crate::LONG, super::$scenario($crate::connect(&uri).await?)).await?
            }
        )+}
    };
}
use on_both_brokers;

async fn connect(uri: &str) -> Result<Conn<Connected>> {
    Ok(Conn::new(uri.parse::<Uri>()?).connect().await?)
}

/// A broker of a test's own, and a connection to it.
async fn embedded() -> Result<(Broker<Listening>, Conn<Connected>)> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connect(&broker.uri()).await?;
    Ok((broker, conn))
}
