//! A client connection without a socket, and the answers of its broker.

use std::{task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use hopmq::{
    fsm::{Time, supervisor::Policy},
    proto::{
        Accepted, Batch, CallId, ChannelKey, Connection, ConsumeSpec, ConsumerKey, Limits,
        Mechanism, Outgoing, Reply, Request, Secret, Settings, WaiterId, consumer_tag,
    },
    wire::{MethodFrame, RawTable, ShortString, encode, method},
};

pub const FRAME_MAX: u32 = 131_072;

const LONG: Duration = Duration::from_secs(60);

pub struct Scripted {
    pub connection: Connection,
    pub channel: ChannelKey,
}

impl Scripted {
    /// An open connection with an open channel.
    pub fn with_channel() -> Self {
        let settings = Settings {
            virtual_host: name("/"),
            client_properties: Bytes::new(),
            channel_max: 0,
            frame_max: FRAME_MAX,
            heartbeat: LONG,
            confirm_timeout: LONG,
            limits: Limits::default(),
            policy: Policy::default(),
        };
        let mut connection = Connection::new(settings, 1);
        connection.connect(Time::ZERO);
        let response = Secret(Bytes::from_static(b"\0guest\0guest"));
        connection.handle_dialed(Time::ZERO, vec![Mechanism { name: name("PLAIN"), response }]);
        let start = method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new(&[]),
            mechanisms: b"PLAIN",
            locales: b"en_US",
        };
        receive(&mut connection, 0, &start);
        let tune =
            method::connection::Tune { channel_max: 2047, frame_max: FRAME_MAX, heartbeat: 60 };
        receive(&mut connection, 0, &tune);
        receive(&mut connection, 0, &method::connection::OpenOk {});
        let call = connection.open_channel(Time::ZERO, LONG).expect("the connection is open");
        receive(&mut connection, 1, &method::channel::OpenOk {});
        let Reply::Opened(channel) = answer(&mut connection, call) else {
            panic!("the channel opens");
        };
        Scripted { connection, channel }
    }

    pub fn confirm_select(&mut self) {
        let call = self.request(Request::ConfirmSelect);
        self.receive(1, &method::confirm::SelectOk {});
        answer(&mut self.connection, call);
    }

    pub fn consume(&mut self, automatic: bool) -> ConsumerKey {
        let spec = ConsumeSpec {
            queue: name("inbox"),
            automatic,
            exclusive: false,
            arguments: Bytes::new(),
            prefetch: None,
            upkeep: hopmq::proto::Upkeep::default(),
        };
        let call = self.request(Request::Consume(spec));
        let tag = consumer_tag(1);
        self.receive(1, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
        match answer(&mut self.connection, call) {
            Reply::Consuming(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn request(&mut self, request: Request) -> CallId {
        let call = self.connection.request(Time::ZERO, self.channel, request, LONG);
        call.expect("the channel is open")
    }

    pub fn publish(&mut self, outgoing: &Outgoing<'_>) -> Accepted {
        let accepted = self.connection.publish(self.channel, outgoing, || Time::ZERO, &mut || None);
        accepted.expect("the channel is open")
    }

    pub fn take_batch(&mut self, batch: &mut Batch) {
        self.connection.take_batch(Time::ZERO, batch);
        assert!(!batch.is_empty());
        batch.clear();
    }

    pub fn receive(&mut self, channel: u16, method: &impl MethodFrame) {
        receive(&mut self.connection, channel, method);
    }

    pub fn receive_bytes(&mut self, bytes: &Bytes) {
        assert_eq!(self.connection.handle_input(Time::ZERO, bytes), bytes.len());
    }
}

fn name(text: &str) -> ShortString {
    ShortString::new(text).expect("short")
}

fn receive(connection: &mut Connection, channel: u16, method: &impl MethodFrame) {
    let mut bytes = BytesMut::new();
    encode::method(&mut bytes, channel, method);
    connection.handle_input(Time::ZERO, &bytes.freeze());
}

fn answer(connection: &mut Connection, call: CallId) -> Reply {
    match connection.poll_call(call, || WaiterId { index: 0, generation: 0 }) {
        Poll::Ready(Ok(reply)) => reply,
        other => panic!("{other:?}"),
    }
}
