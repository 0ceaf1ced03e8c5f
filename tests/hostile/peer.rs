//! A peer that says what a test makes it say.

use std::{future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use hopmq::{
    Address, Blame, Chan, Config, Conn, Connected, Error, Open,
    wire::{
        Decoder, FieldTable, FrameKind, Method, MethodFrame, RawTable, ShortStr, Value, encode,
        method,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What does not end by then hangs. Deadlines of the client are far shorter.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// The deadlines of the client.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// The peer's end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    read: BytesMut,
}

/// Starts a peer that serves one connection, and gives how to reach it.
pub(crate) async fn peer<F>(
    script: impl FnOnce(Peer) -> F + Send + 'static,
) -> (Config, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        script(Peer::over(stream)).await;
    });
    let config = Config::new()
        .host(Address::plain("127.0.0.1").port(port))
        .connection_timeout(SHORT)
        .call_timeout(SHORT)
        .without_recovery();
    (config, serving)
}

/// Connects to a peer that shakes hands and opens channel 1, and does the rest from there.
pub(crate) async fn connected<F>(
    rest: impl FnOnce(Peer) -> F + Send + 'static,
) -> (Conn<Connected>, Chan<Open>)
where
    F: Future<Output = ()> + Send,
{
    let (mut config, _) = peer(async move |mut peer: Peer| {
        peer.shake_hands(131_072).await;
        peer.answer("channel.open", 1, &method::channel::OpenOk {}).await;
        rest(peer).await;
    })
    .await;
    // Not what is tested: a busy machine may take its time over it.
    config.connection_timeout = WATCHDOG;
    let conn = Conn::new(config).connect().await.expect("the peer shakes hands");
    let chan = conn.open_channel().within(WATCHDOG).await.expect("the peer opens the channel");
    (conn, chan)
}

/// How the connection ended; that it did not in time is a failure.
pub(crate) async fn end(conn: &Conn<Connected>) -> Error {
    tokio::time::timeout(WATCHDOG, conn.closed()).await.expect("it ends")
}

/// The connection ends because the peer broke the protocol, in words that contain this.
pub(crate) async fn ends_as_violation(conn: &Conn<Connected>, words: &str) {
    let error = end(conn).await;
    assert_eq!(error.blame(), Blame::Peer, "{error:?}");
    let Error::Peer(violation) = &error else { panic!("{error:?}") };
    assert!(violation.to_string().contains(words), "{violation}");
}

impl Peer {
    /// The peer at this end.
    pub(crate) fn over(stream: TcpStream) -> Peer {
        Peer { stream, read: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may hang up at any time.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    pub(crate) async fn send_method(&mut self, channel: u16, method: &impl MethodFrame) {
        let mut bytes = BytesMut::new();
        encode::method(&mut bytes, channel, method);
        self.send(bytes).await;
    }

    /// Reads until the client hangs up: it is then done with this peer.
    pub(crate) async fn drain(&mut self) {
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    }

    /// Waits for this method, whatever comes before it.
    pub(crate) async fn expect(&mut self, name: &str) {
        self.find(name, |_| ()).await;
    }

    /// Waits for connection.close and gives its reply code.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let code = |method: Method<'_>| match method {
            Method::ConnectionClose(close) => close.reply_code,
            other => panic!("{other:?}"),
        };
        self.find("connection.close", code).await
    }

    /// Counts the heartbeats until the client hangs up.
    pub(crate) async fn heartbeats(&mut self) -> usize {
        let mut decoder = Decoder::new(131_072);
        let mut count = 0;
        loop {
            let (block, mut at) = (Bytes::copy_from_slice(&self.read), 0);
            while let Some(frame) = decoder.next(&block, &mut at).expect("a client's frames") {
                count += usize::from(frame.kind == FrameKind::Heartbeat);
            }
            let _ = self.read.split_to(at);
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return count;
            }
        }
    }

    /// Sends heartbeats and reads nothing, until the client is gone.
    pub(crate) async fn heartbeat_every(&mut self, pause: Duration) {
        while self.stream.write_all(&frame(8, 0, &[])).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for connection.start-ok and gives its mechanism and response.
    pub(crate) async fn start_ok(&mut self) -> (String, Vec<u8>) {
        let chosen = |method: Method<'_>| match method {
            Method::ConnectionStartOk(ok) => (ok.mechanism.to_string(), ok.response.to_vec()),
            other => panic!("{other:?}"),
        };
        self.find("connection.start-ok", chosen).await
    }

    /// Waits for this method, and takes from it what is wanted.
    async fn find<T>(&mut self, name: &str, take: impl FnOnce(Method<'_>) -> T) -> T {
        let mut decoder = Decoder::new(131_072);
        loop {
            if self.read.starts_with(b"AMQP") && self.read.len() >= 8 {
                let _ = self.read.split_to(8);
            }
            let (block, mut at) = (Bytes::copy_from_slice(&self.read), 0);
            while !block.starts_with(b"AMQP")
                && let Some(frame) = decoder.next(&block, &mut at).expect("a client's frames")
            {
                if frame.kind == FrameKind::Method {
                    let method = Method::decode(&block[frame.payload]).expect("a method");
                    if method.name() == name {
                        let _ = self.read.split_to(at);
                        return take(method);
                    }
                }
            }
            if !block.starts_with(b"AMQP") {
                let _ = self.read.split_to(at);
            }
            let count = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
            assert!(count > 0, "the client hung up before it sent {name}");
        }
    }

    /// Answers this method.
    pub(crate) async fn answer(&mut self, name: &str, channel: u16, answer: &impl MethodFrame) {
        self.expect(name).await;
        self.send_method(channel, answer).await;
    }

    pub(crate) async fn start(&mut self) {
        let mut capabilities = FieldTable::new();
        capabilities.insert("basic.nack", Value::Bool(true)).expect("short");
        let mut properties = FieldTable::new();
        properties.insert("capabilities", Value::Table(capabilities)).expect("short");
        let properties = properties.encode();
        let start = method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new(&properties),
            mechanisms: b"PLAIN",
            locales: b"en_US",
        };
        self.send_method(0, &start).await;
    }

    pub(crate) async fn shake_hands(&mut self, frame_max: u32) {
        self.start().await;
        self.expect("connection.start-ok").await;
        let tune = method::connection::Tune { channel_max: 2_047, frame_max, heartbeat: 0 };
        self.send_method(0, &tune).await;
        self.answer("connection.open", 0, &method::connection::OpenOk {}).await;
    }
}

/// A frame of any kind, with whatever in it.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xce);
    bytes
}

/// A method frame.
pub(crate) fn method_frame(channel: u16, method: &impl MethodFrame) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode::method(&mut bytes, channel, method);
    bytes
}

/// basic.deliver to the consumer of this tag.
pub(crate) fn deliver(consumer: &str, delivery_tag: u64) -> BytesMut {
    let deliver = method::basic::Deliver {
        consumer_tag: ShortStr::new(consumer).expect("short"),
        delivery_tag,
        redelivered: false,
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    method_frame(1, &deliver)
}

/// A content header without properties.
pub(crate) fn header(body_size: u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode::content_header(&mut bytes, 1, body_size, &[0, 0]);
    bytes
}
