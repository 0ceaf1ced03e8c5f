//! A collector on the same host or network, spoken to in plain HTTP: what an example needs, without the
//! hundred crates of a full client. For `https`, take the feature `reqwest-blocking-client` of
//! `opentelemetry-otlp` instead, and leave `with_http_client` out.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};

/// Nothing takes that long on one's own network.
const DEADLINE: Duration = Duration::from_secs(5);
/// An answer says next to nothing.
const ANSWER_MAX: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Collector;

#[async_trait]
impl HttpClient for Collector {
    /// Blocks: traces are exported on a thread of their own.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(Response::builder().status(post(&request)?).body(Bytes::new())?)
    }
}

/// Posts, and gives the status.
fn post(request: &Request<Bytes>) -> io::Result<u16> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let uri = request.uri();
    if uri.scheme_str() != Some("http") {
        return Err(invalid("the collector's address must begin with http://"));
    }
    let host = uri.host().ok_or_else(|| invalid("the collector's address has no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    let mut addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
    let address = addresses.next().ok_or_else(|| invalid("the collector's host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;

    let mut head =
        format!("POST {} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n", uri.path());
    head += &format!("content-length: {}\r\n", request.body().len());
    for (name, value) in request.headers() {
        if let (false, Ok(value)) =
            (["host", "content-length"].contains(&name.as_str()), value.to_str())
        {
            head += &format!("{name}: {value}\r\n");
        }
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(request.body())?;
    let mut status = String::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_line(&mut status)?;
    let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the collector does not talk HTTP")
    })
}
