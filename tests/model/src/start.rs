//! A connection in use: channels that confirm, and a consumer. Until then one thing comes after the
//! other and nothing is cut; the handshake under cuts is that of the recoveries.

use std::{task::Poll, time::Duration};

use bytes::Bytes;
use hopmq::{
    broker::{Broker, Unplugged},
    fsm::supervisor::{Backoff, Policy},
    proto::{
        Action, CallId, ChannelKey, Connection, ConsumeSpec, ConsumerKey, Limits, Mechanism,
        Outgoing, QueueSpec, Reply, Request, Secret, Settings, Upkeep,
    },
    wire::{FieldTable, ShortStr, ShortString, Value},
};

use crate::{
    link::Link,
    world::{NOW, gather, waiter, write},
};

const SOON: Duration = Duration::from_secs(30);

pub struct Start {
    pub client: Connection,
    pub broker: Unplugged,
    pub links: Vec<Link>,
    pub channels: Vec<ChannelKey>,
    pub consumer: ConsumerKey,
}

/// The last of the channels consumes.
pub fn start(channels: usize, prefetch: u16) -> Start {
    let broker = Broker::builder().heartbeat(Duration::ZERO).unplugged(1);
    let mut client = Connection::new(settings(), 1);
    let connecting = client.connect(NOW);
    let mut early = Early { client, broker, links: Vec::new() };
    early.answer(connecting);
    let channels: Vec<ChannelKey> = (0..channels).map(|_| early.open()).collect();
    let last = *channels.last().expect("a channel");
    early.ask(last, Request::DeclareQueue(queue()));
    let Reply::Consuming(consumer) = early.ask(last, consume(prefetch)) else {
        panic!("no consumer")
    };
    let Early { client, broker, links } = early;
    Start { client, broker, links, channels, consumer }
}

struct Early {
    client: Connection,
    broker: Unplugged,
    links: Vec<Link>,
}

impl Early {
    fn open(&mut self) -> ChannelKey {
        let call = self.client.open_channel(NOW, SOON).unwrap();
        let Reply::Opened(key) = self.answer(call) else { panic!("no channel") };
        self.ask(key, Request::ConfirmSelect);
        key
    }

    fn ask(&mut self, key: ChannelKey, request: Request) -> Reply {
        let call = self.client.request(NOW, key, request, SOON).unwrap();
        self.answer(call)
    }

    fn answer(&mut self, call: CallId) -> Reply {
        for _ in 0..100 {
            if let Poll::Ready(answer) = self.client.poll_call(call, || waiter(31)) {
                return answer.expect("granted");
            }
            if let Some(Action::Dial { .. }) = self.client.poll_action() {
                self.links.push(Link::new(self.broker.accept(NOW)));
                self.client.handle_dialed(NOW, plain());
            }
            let link = self.links.last_mut().unwrap();
            link.up.extend(write(&mut self.client));
            while let Some(unit) = link.up.pop_front() {
                self.broker.receive(link.peer, &unit, NOW);
                link.down.extend(gather(&mut self.broker, link.peer));
            }
            while let Some(unit) = link.down.pop_front() {
                self.client.handle_input(NOW, &unit);
            }
        }
        panic!("no answer to {call:?}")
    }
}

pub fn plain() -> Vec<Mechanism> {
    let response = Secret(Bytes::from_static(b"\0guest\0guest"));
    vec![Mechanism { name: name("PLAIN"), response }]
}

pub fn settings() -> Settings {
    let capabilities = ["consumer_cancel_notify", "connection.blocked", "basic.nack"]
        .into_iter()
        .fold(FieldTable::new(), |table, name| table.with(name, true).unwrap());
    let properties = FieldTable::new().with("capabilities", Value::Table(capabilities)).unwrap();
    Settings {
        virtual_host: name("/"),
        client_properties: properties.encode(),
        channel_max: 7,
        frame_max: 8192,
        heartbeat: Duration::ZERO,
        confirm_timeout: Duration::from_secs(20),
        limits: Limits::default(),
        policy: Policy {
            backoff: Backoff::fixed(Duration::ZERO),
            steady_after: Duration::ZERO,
            breaker: None,
            ..Policy::default()
        },
    }
}

pub fn name(text: &str) -> ShortString {
    ShortString::new(text).unwrap()
}

pub fn queue() -> QueueSpec {
    QueueSpec {
        name: name("q"),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Bytes::new(),
    }
}

/// A message to it.
pub fn publish(body: &[Bytes], keep: bool) -> Outgoing<'_> {
    Outgoing {
        exchange: ShortStr::empty(),
        routing_key: ShortStr::new("q").unwrap(),
        mandatory: false,
        properties: &[0, 0],
        sequence_at: None,
        body,
        keep,
    }
}

pub fn consume(prefetch: u16) -> Request {
    Request::Consume(ConsumeSpec {
        queue: name("q"),
        automatic: false,
        exclusive: false,
        arguments: Bytes::new(),
        prefetch: Some(prefetch),
        upkeep: Upkeep::default(),
    })
}
