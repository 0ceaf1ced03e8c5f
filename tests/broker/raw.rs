//! A client that only knows frames.

use std::{fmt::Debug, time::Duration};

use bytes::{Bytes, BytesMut};
use hopmq::{
    broker::{Broker, Listening},
    wire::{
        ContentHeader, Decoder, FieldTable, FrameKind, Method, MethodFrame, PROTOCOL_HEADER,
        RawTable, ShortStr, Value, encode, method,
        method::{basic, connection, queue},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

/// No answer of a broker in the same process takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Raw {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    /// Whole frames that were read and not looked at.
    block: Bytes,
    at: usize,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) kind: FrameKind,
    pub(crate) channel: u16,
    pub(crate) payload: Bytes,
}

/// A message with the method that brought it.
#[derive(Debug)]
pub(crate) struct Content {
    method: Bytes,
    pub(crate) body: Vec<u8>,
}

impl Content {
    pub(crate) fn method(&self) -> Method<'_> {
        Method::decode(&self.method).unwrap()
    }

    /// The delivery tag of a delivery or of a message that was polled.
    pub(crate) fn tag(&self) -> u64 {
        match self.method() {
            Method::BasicDeliver(deliver) => deliver.delivery_tag,
            Method::BasicGetOk(get_ok) => get_ok.delivery_tag,
            other => panic!("{other:?} has no delivery tag"),
        }
    }

    pub(crate) fn redelivered(&self) -> bool {
        match self.method() {
            Method::BasicDeliver(deliver) => deliver.redelivered,
            Method::BasicGetOk(get_ok) => get_ok.redelivered,
            other => panic!("{other:?} is no delivery"),
        }
    }
}

impl Raw {
    /// A socket, and nothing said.
    pub(crate) async fn dial(broker: &Broker<Listening>) -> Raw {
        Raw::dial_address(broker.address()).await
    }

    /// A socket to any broker.
    pub(crate) async fn dial_address(address: impl ToSocketAddrs) -> Raw {
        Raw {
            stream: TcpStream::connect(address).await.unwrap(),
            decoder: Decoder::new(131_072),
            input: BytesMut::new(),
            block: Bytes::new(),
            at: 0,
        }
    }

    /// A connection to the virtual host `/` with channel 1 open.
    pub(crate) async fn connect(broker: &Broker<Listening>) -> Raw {
        let mut raw = Raw::open(broker).await;
        raw.open_channel(1).await;
        raw
    }

    /// A connection to the virtual host `/`.
    pub(crate) async fn open(broker: &Broker<Listening>) -> Raw {
        Raw::dial(broker).await.log_in().await
    }

    /// From the protocol header to connection.open-ok, without heartbeats.
    pub(crate) async fn log_in(self) -> Raw {
        self.tuned(0).await
    }

    /// From the protocol header to connection.open-ok, with heartbeats every so many seconds.
    pub(crate) async fn tuned(self, heartbeat: u16) -> Raw {
        self.tuned_as(b"\0guest\0guest", heartbeat).await
    }

    /// The same as another user, whose response to PLAIN this is.
    pub(crate) async fn tuned_as(mut self, response: &[u8], heartbeat: u16) -> Raw {
        self.write(&PROTOCOL_HEADER).await;
        self.start_ok(response).await;
        let tune = self.method().await;
        let Method::ConnectionTune(tune) = tune.method() else { panic!("{tune:?}") };
        let connection::Tune { channel_max, frame_max, .. } = tune;
        let tune_ok = connection::TuneOk { channel_max, frame_max, heartbeat };
        self.send(0, &tune_ok).await;
        self.send(0, &connection::Open { virtual_host: short("/") }).await;
        self.expect(0, connection::OpenOk {}).await;
        self
    }

    /// Awaits connection.start and logs in.
    pub(crate) async fn start_ok(&mut self, response: &[u8]) {
        self.start_ok_with("PLAIN", response).await;
    }

    /// Awaits connection.start and answers it with this mechanism.
    pub(crate) async fn start_ok_with(&mut self, mechanism: &str, response: &[u8]) {
        assert!(matches!(self.method().await.method(), Method::ConnectionStart(_)));
        let capabilities = [
            "consumer_cancel_notify",
            "connection.blocked",
            "authentication_failure_close",
            "basic.nack",
        ]
        .into_iter()
        .fold(FieldTable::new(), |table, name| table.with(name, true).unwrap());
        let properties =
            FieldTable::new().with("capabilities", Value::Table(capabilities)).unwrap().encode();
        let start_ok = connection::StartOk {
            client_properties: RawTable::new(&properties),
            mechanism: short(mechanism),
            response,
            locale: short("en_US"),
        };
        self.send(0, &start_ok).await;
    }

    pub(crate) async fn open_channel(&mut self, channel: u16) {
        self.send(channel, &method::channel::Open {}).await;
        self.expect(channel, method::channel::OpenOk {}).await;
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    pub(crate) async fn send(&mut self, channel: u16, method: &impl MethodFrame) {
        let mut out = BytesMut::new();
        encode::method(&mut out, channel, method);
        self.write(&out).await;
    }

    /// Sends a method and awaits its answer.
    pub(crate) async fn call<'a>(
        &mut self,
        channel: u16,
        method: &impl MethodFrame,
        answer: impl Into<Method<'a>>,
    ) {
        self.send(channel, method).await;
        self.expect(channel, answer).await;
    }

    pub(crate) async fn publish(&mut self, channel: u16, exchange: &str, key: &str, body: &[u8]) {
        self.publish_with(channel, exchange, key, false, &[0, 0], body).await;
    }

    pub(crate) async fn publish_with(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        mandatory: bool,
        properties: &[u8],
        body: &[u8],
    ) {
        let publish = basic::Publish {
            exchange: short(exchange),
            routing_key: short(key),
            mandatory,
            immediate: false,
        };
        let mut out = BytesMut::new();
        encode::message(&mut out, channel, &publish, properties, body, 131_072);
        self.write(&out).await;
    }

    /// Declares a durable queue.
    pub(crate) async fn declare(&mut self, channel: u16, name: &str, arguments: &FieldTable) {
        let arguments = arguments.encode();
        let declare = queue::Declare {
            queue: short(name),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        let declared = queue::DeclareOk { queue: short(name), message_count: 0, consumer_count: 0 };
        self.call(channel, &declare, declared).await;
    }

    /// Starts a consumer named `tag`.
    pub(crate) async fn consume(&mut self, channel: u16, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: short(queue),
            consumer_tag: short(tag),
            no_local: false,
            no_ack,
            exclusive: false,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        self.call(channel, &consume, basic::ConsumeOk { consumer_tag: short(tag) }).await;
    }

    pub(crate) async fn qos(&mut self, channel: u16, count: u16) {
        let qos = basic::Qos { prefetch_size: 0, prefetch_count: count, global: false };
        self.call(channel, &qos, basic::QosOk {}).await;
    }

    pub(crate) async fn ack(&mut self, channel: u16, tag: u64, multiple: bool) {
        self.send(channel, &basic::Ack { delivery_tag: tag, multiple }).await;
    }

    pub(crate) async fn nack(&mut self, channel: u16, tag: u64, requeue: bool) {
        let nack = basic::Nack { delivery_tag: tag, multiple: false, requeue };
        self.send(channel, &nack).await;
    }

    /// Polls a queue: a message, or none.
    pub(crate) async fn get(&mut self, channel: u16, queue: &str, no_ack: bool) -> Option<Content> {
        self.send(channel, &basic::Get { queue: short(queue), no_ack }).await;
        let frame = self.method().await;
        match frame.method() {
            Method::BasicGetEmpty(_) => None,
            Method::BasicGetOk(_) => Some(self.content_of(frame).await),
            other => panic!("{other:?} answers basic.get"),
        }
    }

    /// The next frame, whole.
    pub(crate) async fn frame(&mut self) -> RawFrame {
        match timeout(PATIENCE, self.next_frame()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("the connection ended"),
            Err(_) => panic!("nothing came"),
        }
    }

    /// The next frame, which must be a method.
    pub(crate) async fn method(&mut self) -> RawFrame {
        let frame = self.frame().await;
        assert_eq!(frame.kind, FrameKind::Method, "{frame:?}");
        frame
    }

    /// Awaits exactly this method.
    pub(crate) async fn expect<'a>(&mut self, channel: u16, expected: impl Into<Method<'a>>) {
        let frame = self.method().await;
        assert_eq!((frame.channel, frame.method()), (channel, expected.into()));
    }

    /// Awaits a message with the method that brings it.
    pub(crate) async fn content(&mut self) -> Content {
        let frame = self.method().await;
        self.content_of(frame).await
    }

    async fn content_of(&mut self, method: RawFrame) -> Content {
        let header = self.frame().await;
        assert_eq!(header.kind, FrameKind::Header, "{header:?} after {:?}", method.method());
        let size = ContentHeader::decode(&header.payload).unwrap().body_size as usize;
        let mut body = Vec::new();
        while body.len() < size {
            let frame = self.frame().await;
            assert_eq!((frame.kind, frame.channel), (FrameKind::Body, method.channel));
            body.extend_from_slice(&frame.payload);
        }
        Content { method: method.payload, body }
    }

    /// Awaits the closing of a channel for this reason, and confirms it.
    pub(crate) async fn channel_closes(&mut self, channel: u16, code: u16, text: &str) {
        let frame = self.method().await;
        match frame.method() {
            Method::ChannelClose(close) => {
                let found = (frame.channel, close.reply_code, close.reply_text.to_string());
                assert_eq!(found, (channel, code, text.to_owned()));
            }
            other => panic!("{other:?} instead of channel.close {code} {text}"),
        }
        self.send(channel, &method::channel::CloseOk {}).await;
    }

    /// Awaits the closing of the connection for this reason, and its end.
    pub(crate) async fn connection_closes(&mut self, code: u16, text: &str) {
        let frame = self.method().await;
        match frame.method() {
            Method::ConnectionClose(close) => {
                assert_eq!(
                    (close.reply_code, close.reply_text.to_string()),
                    (code, text.to_owned())
                );
            }
            other => panic!("{other:?} instead of connection.close {code} {text}"),
        }
        self.send(0, &connection::CloseOk {}).await;
        self.ends().await;
    }

    /// Awaits the end of the stream.
    pub(crate) async fn ends(&mut self) {
        match timeout(PATIENCE, self.next_frame()).await {
            Ok(None) => {}
            Ok(Some(frame)) => panic!("{frame:?} instead of the end"),
            Err(_) => panic!("the connection did not end"),
        }
    }

    /// The next frame within this time, or none; `Err` at the end of the stream.
    pub(crate) async fn frame_within(
        &mut self,
        patience: Duration,
    ) -> Result<Option<RawFrame>, ()> {
        match timeout(patience, self.next_frame()).await {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => Err(()),
            Err(_) => Ok(None),
        }
    }

    /// Nothing comes for a while.
    pub(crate) async fn silence(&mut self) {
        if let Ok(frame) = timeout(Duration::from_millis(50), self.next_frame()).await {
            panic!("{frame:?} instead of silence");
        }
    }

    /// The next octets, for what is not a frame.
    pub(crate) async fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        timeout(PATIENCE, self.stream.read_exact(&mut octets)).await.unwrap().unwrap();
        octets
    }

    async fn next_frame(&mut self) -> Option<RawFrame> {
        let mut payload = BytesMut::new();
        loop {
            while let Some(frame) = self.decoder.next(&self.block, &mut self.at).unwrap() {
                payload.extend_from_slice(&self.block[frame.payload]);
                if frame.ends {
                    return Some(RawFrame {
                        kind: frame.kind,
                        channel: frame.channel,
                        payload: payload.freeze(),
                    });
                }
            }
            self.input = BytesMut::from(&self.block[self.at..]);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {
                    self.block = self.input.split().freeze();
                    self.at = 0;
                }
            }
        }
    }
}

impl RawFrame {
    pub(crate) fn method(&self) -> Method<'_> {
        Method::decode(&self.payload).unwrap()
    }
}

pub(crate) fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text).unwrap()
}

/// Arguments from pairs.
pub(crate) fn arguments<V: Into<Value> + Debug>(
    pairs: impl IntoIterator<Item = (&'static str, V)>,
) -> FieldTable {
    pairs
        .into_iter()
        .fold(FieldTable::new(), |table, (name, value)| table.with(name, value.into()).unwrap())
}
