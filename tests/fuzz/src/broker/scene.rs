//! A broker, its clients, and one among them that behaves.

use std::{sync::OnceLock, time::Duration};

use bytes::BytesMut;
use hopmq::{
    broker::{Broker, ConnectionId, Unplugged},
    fsm::Time,
    wire::{
        FRAME_MIN_SIZE, FieldTable, Method, PROTOCOL_HEADER, RawTable, ReplyCode, ShortStr,
        ShortString, Value, encode,
        method::{channel, connection, queue},
    },
};

use super::CLIENTS;
use crate::{memory, peer::Ear};

/// What is set up once and copied for each input.
static BEGINNING: OnceLock<Scene> = OnceLock::new();

#[derive(Clone)]
pub(super) struct Scene {
    pub(super) broker: Unplugged,
    pub(super) now: Time,
    block: usize,
    /// The first one behaves.
    clients: Vec<Option<Client>>,
    /// What was heard is kept, to be compared.
    compared: bool,
    /// What the broker has said to clients that are gone.
    said: Vec<String>,
}

#[derive(Clone)]
struct Client {
    id: ConnectionId,
    greeted: bool,
    ear: Ear,
    logged_in: bool,
    /// What the broker has said last on channel 0, and on any.
    told: Option<u16>,
    answers: Vec<&'static str>,
    /// All that the broker has said to it, where that is compared.
    heard: Vec<String>,
    /// It asked for an end, or time has passed since it was heard.
    excused: bool,
}

impl Scene {
    pub(super) fn new(block: usize, compared: bool) -> Self {
        let mut scene = BEGINNING.get_or_init(Scene::beginning).clone();
        scene.block = block;
        scene.compared = compared;
        for client in scene.clients.iter_mut().flatten() {
            client.ear.kept = compared.then(Vec::new);
        }
        scene
    }

    fn beginning() -> Self {
        let builder = Broker::builder()
            .heartbeat(Duration::from_secs(20))
            .frame_max(8192)
            .channel_max(100)
            .max_message_size(600)
            .memory_limit(16 * 1024)
            .permit_transient_queues();
        let mut scene = Scene {
            broker: builder.unplugged(1),
            now: Time::from_secs(1),
            block: usize::MAX,
            clients: vec![None; 1 + CLIENTS],
            compared: false,
            said: Vec::new(),
        };
        for who in 0..=CLIENTS {
            let mut hello = Vec::new();
            greet(&mut hello);
            scene.receive(who, &hello);
            scene.take(who, usize::MAX);
        }
        scene.look();
        assert!(scene.clients.iter().flatten().all(|client| client.logged_in));
        scene
    }

    pub(super) fn is_greeted(&self, who: usize) -> bool {
        self.clients[who].as_ref().is_some_and(|client| client.greeted)
    }

    /// Octets of a client, which connects first where it is not.
    pub(super) fn receive(&mut self, who: usize, octets: &[u8]) {
        let (broker, now) = (&mut self.broker, self.now);
        let kept = self.compared.then(Vec::new);
        let client = self.clients[who].get_or_insert_with(|| Client::new(broker.accept(now), kept));
        client.greeted = true;
        if !broker.wants_read(client.id) {
            return;
        }
        for block in octets.chunks(self.block.min(octets.len()).max(1)) {
            let ((), peak) = memory::peak(|| broker.receive(client.id, block, now));
            assert!(peak < 128 * 1024 + 64 * octets.len(), "{peak} for {}", octets.len());
        }
        // Its own connection.close excuses what follows.
        client.excused |= closes(octets);
    }

    /// Takes what the broker says to a client, some of it or all.
    pub(super) fn take(&mut self, who: usize, most: usize) {
        let Some(client) = &mut self.clients[who] else { return };
        let said = self.broker.transmit(client.id, most, self.now);
        client.hear(&said);
    }

    /// Looks at what came of a step.
    pub(super) fn look(&mut self) {
        for who in 0..self.clients.len() {
            let Some(client) = &self.clients[who] else { continue };
            if !self.broker.hangs_up(client.id, self.now) {
                continue;
            }
            let why = format!("{who}: {:?}", client.answers);
            assert!(!client.logged_in || client.excused || client.told.is_some(), "{why}");
            assert_ne!(who, 0, "the one that behaves was hung up");
            self.disconnect(who);
        }
    }

    pub(super) fn disconnect(&mut self, who: usize) {
        if let Some(client) = self.clients[who].take() {
            self.broker.disconnect(client.id, self.now);
            self.said.push(format!("{who}: {:?} {:?}", client.heard, client.ear.kept));
        }
    }

    /// Time passes; what falls due is done when it does.
    pub(super) fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        while let Some(due) = self.broker.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            // The one that behaves shows signs of life.
            let mut alive = BytesMut::new();
            encode::heartbeat(&mut alive);
            self.receive(0, &alive);
            self.take(0, usize::MAX);
            self.broker.handle_timeout(self.now);
            for who in 1..=CLIENTS {
                // Silent for too long: whether it was cannot be told here.
                if let Some(client) = &mut self.clients[who] {
                    client.excused = true;
                }
                self.take(who, usize::MAX);
            }
            self.look();
        }
        self.now = until;
    }

    /// The one that behaves declares a queue that all may use.
    pub(super) fn declare_for_all(&mut self, name: &str) {
        let Ok(queue) = ShortStr::new(name) else { return };
        let declare = queue::Declare { queue, durable: true, ..Default::default() };
        let mut out = BytesMut::new();
        encode::method(&mut out, 7, &channel::Open {});
        encode::method(&mut out, 7, &declare);
        // A queue of that name may be there already, and be another one: that closes the channel.
        let answers = self.ask(&out);
        out.clear();
        match answers.contains(&"channel.close") {
            true => encode::method(&mut out, 7, &channel::CloseOk {}),
            false => encode::method(&mut out, 7, &goodbye()),
        }
        self.ask(&out);
    }

    /// The one that behaves says something, and gets the answers.
    fn ask(&mut self, octets: &[u8]) -> Vec<&'static str> {
        self.take(0, usize::MAX);
        self.clients[0].as_mut().expect("it behaves").answers.clear();
        self.receive(0, octets);
        self.take(0, usize::MAX);
        std::mem::take(&mut self.clients[0].as_mut().expect("it behaves").answers)
    }

    /// The one that behaves is served still; then all are taken leave of.
    pub(super) fn end(mut self) -> Vec<String> {
        self.broker.set_alarm(false);
        let name = ShortStr::new("of the one that behaves").expect("a short name");
        let mut out = BytesMut::new();
        encode::method(&mut out, 8, &channel::Open {});
        let declare = queue::Declare { queue: name, exclusive: true, ..Default::default() };
        encode::method(&mut out, 8, &declare);
        assert_eq!(self.ask(&out), ["channel.open-ok", "queue.declare-ok"]);
        for who in 0..=CLIENTS {
            self.take(who, usize::MAX);
        }
        self.look();
        for who in 0..=CLIENTS {
            self.disconnect(who);
        }
        assert_eq!(self.broker.connections(), 0);
        self.said.sort();
        self.said
    }
}

impl Client {
    fn new(id: ConnectionId, kept: Option<Vec<u8>>) -> Self {
        let mut ear = Ear::new(FRAME_MIN_SIZE);
        ear.kept = kept;
        Client {
            id,
            greeted: false,
            ear,
            logged_in: false,
            told: None,
            answers: Vec::new(),
            heard: Vec::new(),
            excused: false,
        }
    }

    fn hear(&mut self, said: &[u8]) {
        // A broker that is not spoken to in AMQP says which it speaks, and hangs up.
        if !self.logged_in && self.answers.is_empty() && said.starts_with(&PROTOCOL_HEADER) {
            assert_eq!(said.len(), PROTOCOL_HEADER.len());
            return;
        }
        let Client { ear, logged_in, told, answers, heard, .. } = self;
        ear.hear(said, |ear, channel, payload| {
            let method = Method::decode(payload).expect("decoded before");
            // Confirms of what arrived together are told together. What comes behind octets that are
            // no frame is looked for at the start of the next block.
            if ear.kept.is_some() && told.is_none() && !matches!(method, Method::BasicAck(_)) {
                heard.push(format!("{channel}: {method:?}"));
            }
            let crossed = matches!(method, Method::ConnectionCloseOk(_));
            assert!(told.is_none() || crossed, "{method:?} after connection.close");
            match method {
                Method::ConnectionTune(tune) => ear.set_frame_max(tune.frame_max),
                Method::ConnectionOpenOk(_) => *logged_in = true,
                Method::ConnectionClose(close) => {
                    let code = ReplyCode(close.reply_code);
                    assert!(code.name().is_some(), "{code}");
                    *told = Some(close.reply_code);
                }
                Method::ChannelClose(close) => {
                    assert!(ReplyCode(close.reply_code).name().is_some(), "{close:?}");
                }
                _ => {}
            }
            answers.push(method.name());
            if answers.len() > 64 {
                answers.drain(..32);
            }
        });
    }
}

/// Whether a connection.close is among the octets, which may be split or nonsense: then it may be.
fn closes(octets: &[u8]) -> bool {
    octets.windows(4).any(|four| four == [0, 10, 0, 50] || four == [0, 10, 0, 51])
}

fn goodbye() -> channel::Close<'static> {
    channel::Close { reply_code: 200, ..Default::default() }
}

/// Logs in, with small limits.
pub(super) fn greet(out: &mut Vec<u8>) {
    let short = |text| ShortStr::new(text).expect("a short text");
    let mut buf = BytesMut::from(&PROTOCOL_HEADER[..]);
    let all = ["consumer_cancel_notify", "connection.blocked", "authentication_failure_close"];
    let all = all.map(|name| (ShortString::new(name).expect("a short name"), Value::Bool(true)));
    let capabilities = Value::Table(all.into_iter().collect());
    let properties = FieldTable::new().with("capabilities", capabilities).expect("a short name");
    let properties = properties.encode();
    let start_ok = connection::StartOk {
        client_properties: RawTable::new(&properties),
        mechanism: short("PLAIN"),
        response: b"\0guest\0guest",
        locale: short("en_US"),
    };
    encode::method(&mut buf, 0, &start_ok);
    let tune_ok = connection::TuneOk { channel_max: 100, frame_max: 8192, heartbeat: 20 };
    encode::method(&mut buf, 0, &tune_ok);
    encode::method(&mut buf, 0, &connection::Open { virtual_host: short("/") });
    out.extend_from_slice(&buf);
}
