//! What others see of a connection: the broker its name, the log no secret.

use std::{
    io,
    sync::{Arc, Mutex},
};

use hopmq::{Config, Conn, Uri, broker::Broker};
use tracing_subscriber::fmt::MakeWriter;

use crate::{Outcome, blocking, node};

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn the_broker_shows_a_connection_by_its_name() -> Outcome {
    let name = format!("billing-{}", std::process::id());
    let config = Config::from_env("HOPMQ_TEST_AMQP_URL")?.connection_name(&name);
    let conn = Conn::new(config).connect().await?;
    let listed =
        blocking(|| node::shared_ctl(&["list_connections", "--quiet", "client_properties"]));
    if let Some(listed) = listed.await {
        assert!(listed.contains(&name), "{listed}");
    }
    conn.close().await?;
    Ok(())
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn a_password_is_not_logged_whether_it_is_right_or_wrong() -> Outcome {
    const PASSWORD: &str = "sesame-open-4711";
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let broker = Broker::builder().user("ali", PASSWORD).bind("127.0.0.1:0").await?;
    let at = broker.address();
    let uri: Uri = format!("amqp://ali:{PASSWORD}@{at}").parse()?;
    Conn::new(uri.clone()).connect().await?.close().await?;
    let wrong: Uri = format!("amqp://ali:{PASSWORD}-not@{at}").parse()?;
    let refused = Conn::new(wrong.clone()).connect().await.map(drop).unwrap_err();

    let log = String::from_utf8(log.0.lock().expect("unpoisoned").clone())?;
    assert!(log.contains("Connected"), "it logs what happens: {log}");
    let told =
        [log, format!("{refused} {refused:?} {:?} {uri:?} {uri} {wrong:?}", refused.error())];
    assert!(!told.iter().any(|told| told.contains(PASSWORD)), "{told:?}");
    Ok(())
}
