//! A service of a test's own, asked over HTTP.

use std::{future::Future, net::SocketAddr, time::Duration};

use order_service::{BoxError, Service, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Nothing here takes that long: what does hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    pub(crate) service: JoinHandle<Result<(), BoxError>>,
}

pub(crate) async fn start(broker: &str, settings: Settings) -> Result<Running, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Service::start(broker.parse()?, settings).await?;
    let (stop, stopped) = oneshot::channel();
    let service = tokio::spawn(service.serve(listener, async { drop(stopped.await) }));
    Ok(Running { address, stop, service })
}

impl Running {
    /// The status and the body of an answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String), BoxError> {
        self.ask_with("", method, path, body).await
    }

    /// The same with a header more, as `name: value\r\n`.
    pub(crate) async fn ask_with(
        &self,
        header: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String), BoxError> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{header}\
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

    pub(crate) async fn order(&self, customer: &str, apples: u32) -> Result<u16, BoxError> {
        let body = format!(r#"{{"customer": "{customer}", "apples": {apples}}}"#);
        Ok(self.ask("POST", "/orders", &body).await?.0)
    }

    /// Asks again until the body is as expected.
    pub(crate) async fn until(&self, path: &str, expected: &str) -> Result<(), BoxError> {
        while !self.ask("GET", path, "").await?.1.contains(expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        let _ = self.stop.send(());
        self.service.await?
    }
}

pub(crate) async fn within(
    test: impl Future<Output = Result<(), BoxError>>,
) -> Result<(), BoxError> {
    tokio::time::timeout(WATCHDOG, test).await?
}
