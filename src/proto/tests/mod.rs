//! The pure connection against a scripted broker: no socket, no clock.

mod binding;
mod closing;
mod committing;
mod confirms;
mod consuming;
mod handshake;
mod inbound;
mod mending;
mod recovery;
mod runs;

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    fsm::{Time, supervisor::Policy},
    wire::{
        Decoder, FrameKind, Method, MethodFrame, RawTable, ShortStr, ShortString, encode, method,
    },
};

/// A call's time.
const SECOND: Duration = Duration::from_secs(1);

/// A client connection and the script of its broker.
struct Scripted {
    connection: Connection,
    now: Time,
}

fn settings() -> Settings {
    Settings {
        virtual_host: ShortString::new("/").unwrap(),
        client_properties: Bytes::new(),
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60 * SECOND,
        confirm_timeout: 20 * SECOND,
        limits: Limits::default(),
        policy: Policy { reconnect: false, ..Policy::default() },
    }
}

/// As a connection has them that comes back.
fn reconnecting() -> Settings {
    Settings { policy: Policy::default(), ..settings() }
}

/// A consumer of the queue "inbox".
fn consume() -> ConsumeSpec {
    ConsumeSpec {
        queue: ShortString::new("inbox").unwrap(),
        automatic: false,
        exclusive: false,
        arguments: Bytes::new(),
        prefetch: None,
        upkeep: Upkeep::default(),
    }
}

fn plain() -> Vec<Mechanism> {
    let response = Secret(Bytes::from_static(b"\0guest\0guest"));
    vec![Mechanism { name: ShortString::new("PLAIN").unwrap(), response }]
}

fn waiter(index: u32) -> WaiterId {
    WaiterId { index, generation: 0 }
}

/// A message of that body to nowhere in particular, without properties, and not kept.
fn message(body: &[Bytes]) -> Outgoing<'_> {
    Outgoing {
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
        mandatory: false,
        properties: &[0, 0],
        sequence_at: None,
        body,
        keep: false,
    }
}

impl Scripted {
    /// A connection of which the socket is open; the protocol header was taken.
    fn dialed(settings: Settings) -> (Self, CallId) {
        let mut connection = Connection::new(settings, 1);
        let call = connection.connect(Time::ZERO);
        assert!(matches!(connection.poll_action(), Some(Action::Dial { .. })));
        connection.handle_dialed(Time::ZERO, plain());
        let mut scripted = Scripted { connection, now: Time::ZERO };
        assert_eq!(scripted.sent_bytes(), crate::wire::PROTOCOL_HEADER.as_slice());
        (scripted, call)
    }

    fn start() -> method::connection::Start<'static> {
        method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new(&[]),
            mechanisms: b"AMQPLAIN PLAIN",
            locales: b"en_US",
        }
    }

    fn tune() -> method::connection::Tune {
        method::connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 }
    }

    /// A connection that is open.
    fn open() -> Self {
        Self::open_with(settings())
    }

    fn open_with(settings: Settings) -> Self {
        let (mut scripted, call) = Self::dialed(settings);
        scripted.receive(0, &Self::start());
        scripted.receive(0, &Self::tune());
        scripted.receive(0, &method::connection::OpenOk {});
        assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
        scripted.sent();
        scripted
    }

    /// A connection with one open channel.
    fn with_channel() -> (Self, ChannelKey) {
        let mut scripted = Self::open();
        let key = scripted.open_channel();
        scripted.sent();
        (scripted, key)
    }

    /// The first channel, which has number 1.
    fn open_channel(&mut self) -> ChannelKey {
        let call = self.connection.open_channel(self.now, SECOND).unwrap();
        self.receive(1, &method::channel::OpenOk {});
        let Poll::Ready(Ok(Reply::Opened(key))) = self.answer(call) else {
            panic!("the channel opens");
        };
        key
    }

    fn request(&mut self, key: ChannelKey, request: Request) -> CallId {
        self.connection.request(self.now, key, request, SECOND).unwrap()
    }

    fn answer(&mut self, call: CallId) -> Poll<Result<Reply, CallError>> {
        self.connection.poll_call(call, || waiter(0))
    }

    fn receive(&mut self, channel: u16, method: &impl MethodFrame) {
        let mut bytes = BytesMut::new();
        encode::method(&mut bytes, channel, method);
        self.receive_bytes(bytes.freeze());
    }

    fn receive_bytes(&mut self, bytes: Bytes) {
        let used = self.connection.handle_input(self.now, &bytes);
        assert_eq!(used, bytes.len(), "whole frames are used up");
    }

    fn deliver(&mut self, consumer: u32, tag: u64, body: &[u8]) {
        let mut bytes = BytesMut::new();
        let consumer = consumer_tag(consumer);
        let deliver = method::basic::Deliver {
            consumer_tag: consumer.as_short(),
            delivery_tag: tag,
            redelivered: false,
            exchange: ShortStr::empty(),
            routing_key: ShortStr::empty(),
        };
        encode::message(&mut bytes, 1, &deliver, &[0, 0], body, 131_072);
        self.receive_bytes(bytes.freeze());
    }

    /// The answer to basic.get, with tag 1.
    fn got(&mut self, channel: u16) {
        let mut bytes = BytesMut::new();
        let got = method::basic::GetOk {
            delivery_tag: 1,
            redelivered: false,
            exchange: ShortStr::empty(),
            routing_key: ShortStr::empty(),
            message_count: 0,
        };
        encode::message(&mut bytes, channel, &got, &[0, 0], b"m", 131_072);
        self.receive_bytes(bytes.freeze());
    }

    fn sent_bytes(&mut self) -> Vec<u8> {
        let mut batch = Batch::default();
        self.connection.take_batch(self.now, &mut batch);
        batch.slices(0).flatten().copied().collect()
    }

    /// The names of the methods that went out, in wire order.
    fn sent(&mut self) -> Vec<&'static str> {
        let bytes = self.sent_bytes();
        let (mut decoder, mut at, mut names) = (Decoder::new(131_072), 0, Vec::new());
        while let Some(frame) = decoder.next(&bytes, &mut at).unwrap() {
            if frame.kind == FrameKind::Method {
                names.push(Method::decode(&bytes[frame.payload]).unwrap().name());
            }
        }
        names
    }

    fn woken(&mut self) -> Wakes {
        let mut wakes = Wakes::new();
        self.connection.take_wakes(&mut wakes);
        wakes
    }

    fn channel_states(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.connection.poll_channel_transition())
            .map(|noted| noted.transition.to_string())
            .collect()
    }

    fn ended(&self) -> Option<Arc<Cause>> {
        self.connection.ended().cloned()
    }
}

fn bind() -> Request {
    Request::BindQueue(BindingSpec {
        destination: ShortString::new("my_queue").unwrap(),
        source: ShortString::new("amq.topic").unwrap(),
        key: ShortString::new("#").unwrap(),
        arguments: Bytes::new(),
    })
}
