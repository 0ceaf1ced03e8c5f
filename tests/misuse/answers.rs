//! The same wrong bytes from a client that checks nothing, and what the brokers answer: what the
//! catalogue says.

use hopmq::{
    broker::Broker,
    wire::{
        FieldTable, FrameKind, Method, Properties, RawTable, ShortString, encode,
        method::{basic, channel, confirm, exchange, queue, tx},
    },
};

use crate::{
    catalogue::{Row, rows},
    raw::{Raw, arguments, short},
};

/// What a broker answers: the code and the text with which it closes, or nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Closed { code: u16, text: String },
    Nothing,
}

#[tokio::test]
async fn the_embedded_broker_answers_as_the_catalogue_says() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    check(&broker.address().to_string(), |row| &row.answer).await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn rabbitmq_answers_as_the_catalogue_says() {
    let uri = std::env::var("HOPMQ_TEST_AMQP_URL").expect("tests/run sets HOPMQ_TEST_AMQP_URL");
    let authority = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split('/').next().unwrap();
    let version = version(host).await;
    println!("RabbitMQ {version}");
    check(host, |row| row.answer_of(&version)).await;
}

/// Rows whose mistake this client cannot make: a message over the limit takes 128 MB on 3.10, more
/// channels than negotiated 2047 of them, and a name over 255 bytes cannot be written.
const NOT_PLAYED: [u8; 3] = [44, 46, 48];

/// Plays the rows and compares the answers with what the catalogue has.
async fn check(host: &str, expected: impl Fn(&Row) -> &str) {
    let mut wrong = Vec::new();
    for row in rows().iter().filter(|row| !NOT_PLAYED.contains(&row.number)) {
        let answer = play(host, row.number).await;
        if !is_answer(expected(row), &answer) {
            wrong.push(format!("{}: {answer:?} instead of {}", row.number, expected(row)));
        }
    }
    assert!(wrong.is_empty(), "the catalogue is not true:\n{}", wrong.join("\n"));
}

/// Whether this is what the catalogue describes: ``406 `unknown delivery tag …` ``, where `…`
/// stands for anything, or words without a code for no answer at all.
fn is_answer(described: &str, answer: &Answer) -> bool {
    let mut parts = described.split('`');
    let code: Option<u16> =
        parts.next().and_then(|code| code.trim().trim_matches('*').parse().ok());
    match (code, answer) {
        (None, Answer::Nothing) => true,
        (Some(expected), Answer::Closed { code, text }) => {
            let Some(pattern) = parts.next() else { return false };
            expected == *code && matches_pattern(pattern, text)
        }
        _ => false,
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (rest, last) = pattern.rsplit_once('…').unwrap_or(("", pattern));
    let Some(mut text) = text.strip_suffix(last) else { return false };
    for (index, piece) in rest.split('…').enumerate() {
        match text.find(piece) {
            Some(at) if index > 0 || at == 0 => text = &text[at + piece.len()..],
            _ => return false,
        }
    }
    pattern.contains('…') || text.is_empty()
}

/// A client with a queue and an exchange of its own.
struct Client {
    raw: Raw,
    name: String,
    /// The channel on which the mistake is made.
    channel: u16,
}

async fn play(host: &str, row: u8) -> Answer {
    let mut raw = Raw::dial_address(host).await.log_in().await;
    raw.open_channel(1).await;
    let mut client = Client { raw, name: format!("hopmq.answers.row{row:02}"), channel: 1 };
    match row {
        1..=5 => client.settle(row).await,
        6..=9 | 16..=19 | 47 => client.modes(row).await,
        10..=15 | 20 | 42 => client.queues(row).await,
        21..=29 | 31 | 34 => client.declarations(row).await,
        30..=38 => client.exchanges(row).await,
        39..=45 => client.messages(row).await,
        // Of the rows without an answer of the broker's: nothing is sent.
        _ => {}
    }
    let answer = client.answer().await;
    clean_up(host, &client.name).await;
    answer
}

async fn clean_up(host: &str, name: &str) {
    let mut raw = Raw::dial_address(host).await.log_in().await;
    raw.open_channel(1).await;
    let queue = short(name);
    raw.send(1, &queue::Delete { queue, if_unused: false, if_empty: false, no_wait: false }).await;
    raw.method().await;
    raw.send(1, &exchange::Delete { exchange: queue, if_unused: false, no_wait: false }).await;
    raw.method().await;
}

async fn version(host: &str) -> String {
    let mut raw = Raw::dial_address(host).await;
    raw.write(&hopmq::wire::PROTOCOL_HEADER).await;
    let start = raw.method().await;
    let Method::ConnectionStart(start) = start.method() else { panic!("{start:?}") };
    let version = start.server_properties.get("version").unwrap().unwrap();
    version.as_str().unwrap().to_owned()
}

impl Client {
    /// What closes the channel or the connection, if something does.
    async fn answer(&mut self) -> Answer {
        // It is answered once all before it was handled.
        self.raw.send(self.channel, &channel::Flow { active: true }).await;
        loop {
            let frame = self.raw.frame().await;
            if frame.kind != FrameKind::Method {
                continue;
            }
            let (code, text) = match frame.method() {
                Method::ChannelClose(close) => (close.reply_code, close.reply_text),
                Method::ConnectionClose(close) => (close.reply_code, close.reply_text),
                Method::ChannelFlowOk(ok) if ok.active => return Answer::Nothing,
                _ => continue,
            };
            let text = text.to_string();
            let text = text.split_once(" - ").map_or(text.as_str(), |(_, text)| text).to_owned();
            return Answer::Closed { code, text };
        }
    }

    async fn settle(&mut self, row: u8) {
        self.declare("classic").await;
        for body in ["one", "two"] {
            self.publish("", body, Properties::default()).await;
        }
        let (name, raw) = (&self.name, &mut self.raw);
        raw.get(1, name, row == 4).await.expect("a message");
        match row {
            1 => {
                raw.ack(1, 1, false).await;
                raw.ack(1, 1, false).await;
            }
            // A delivery from before a reconnect is to the broker one of another channel.
            2 | 3 => {
                self.channel = 2;
                raw.open_channel(2).await;
                raw.ack(2, 1, false).await;
            }
            4 => raw.ack(1, 1, false).await,
            _ => {
                raw.get(1, name, false).await.expect("a message");
                raw.ack(1, 2, true).await;
                raw.ack(1, 2, true).await;
            }
        }
    }

    async fn modes(&mut self, row: u8) {
        let raw = &mut self.raw;
        match row {
            6 => {
                raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;
                raw.send(1, &tx::Select {}).await;
            }
            7 => {
                raw.call(1, &tx::Select {}, tx::SelectOk {}).await;
                raw.send(1, &confirm::Select { no_wait: false }).await;
            }
            8 => raw.send(1, &tx::Commit {}).await,
            9 => raw.publish(1, "", "nowhere", b"one").await,
            16 => {
                let qos = basic::Qos { prefetch_size: 65_536, prefetch_count: 0, global: false };
                raw.send(1, &qos).await;
            }
            17 => {
                let publish = basic::Publish {
                    exchange: short(""),
                    routing_key: short("nowhere"),
                    mandatory: false,
                    immediate: true,
                };
                let mut out = bytes::BytesMut::new();
                encode::message(&mut out, 1, &publish, &[0, 0], b"one", 4096);
                raw.write(&out).await;
            }
            18 => raw.send(1, &channel::Flow { active: false }).await,
            19 => raw.send(1, &basic::Recover { requeue: false }).await,
            _ => {
                let close = channel::Close {
                    reply_code: 200,
                    reply_text: short(""),
                    class_id: 0,
                    method_id: 0,
                };
                raw.call(1, &close, channel::CloseOk {}).await;
                raw.send(1, &tx::Select {}).await;
            }
        }
    }

    async fn queues(&mut self, row: u8) {
        match row {
            13 => {
                let table = arguments([("x-single-active-consumer", true)]);
                self.declare_with("quorum", table).await;
            }
            15 | 20 => self.declare("quorum").await,
            42 => self.declare("classic").await,
            _ => self.declare("stream").await,
        }
        let queue = short(&self.name);
        let raw = &mut self.raw;
        match row {
            10 => consume(raw, &self.name, "one", false).await,
            11 => {
                raw.qos(1, 10).await;
                consume(raw, &self.name, "one", true).await;
            }
            12 | 13 => raw.send(1, &basic::Get { queue, no_ack: false }).await,
            14 => raw.send(1, &queue::Purge { queue, no_wait: false }).await,
            15 => {
                let qos = basic::Qos { prefetch_size: 0, prefetch_count: 10, global: true };
                raw.call(1, &qos, basic::QosOk {}).await;
                consume(raw, &self.name, "one", false).await;
            }
            20 => {
                let delete =
                    queue::Delete { queue, if_unused: true, if_empty: false, no_wait: false };
                raw.send(1, &delete).await;
            }
            _ => {
                consume(raw, &self.name, "one", false).await;
                consume(raw, &self.name, "one", false).await;
            }
        }
    }

    async fn declarations(&mut self, row: u8) {
        let kind = if matches!(row, 25 | 28) { "classic" } else { "quorum" };
        let mut table = arguments([("x-queue-type", kind)]);
        match row {
            26 => table.insert("x-max-priority", 10i32).unwrap(),
            27 => table.insert("x-expires", 0i32).unwrap(),
            28 => table.insert("x-dead-letter-routing-key", "expired").unwrap(),
            29 => {
                self.declare("quorum").await;
                table.insert("x-max-length", 10i32).unwrap()
            }
            31 => return consume(&mut self.raw, "", "one", false).await,
            _ => None,
        };
        let table = table.encode();
        let name = match row {
            24 => "",
            34 => "amq.inbox",
            _ => &self.name,
        };
        let declare = queue::Declare {
            queue: short(name),
            passive: false,
            durable: !matches!(row, 21 | 25),
            exclusive: row == 22,
            auto_delete: row == 23,
            no_wait: false,
            arguments: RawTable::new(&table),
        };
        self.raw.send(1, &declare).await;
    }

    async fn exchanges(&mut self, row: u8) {
        let kind = match row {
            33 => "topic",
            36 => "headers",
            37 => "fanout",
            38 => "tpoic",
            _ => "direct",
        };
        let declare = exchange::Declare {
            exchange: short(&self.name),
            kind: short(kind),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: row == 33,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        if row != 32 {
            self.raw.send(1, &declare).await;
        }
        if matches!(row, 35..=37) {
            self.declare("classic").await;
        }
        let table = if row == 36 { arguments([("x-match", "some")]) } else { FieldTable::new() };
        let table = table.encode();
        match row {
            32 | 33 => self.raw.publish(1, &self.name, "key", b"one").await,
            38 => {}
            _ => {
                let bind = queue::Bind {
                    queue: short(&self.name),
                    exchange: short(if row == 35 { "" } else { &self.name }),
                    routing_key: short("sport.*"),
                    no_wait: false,
                    arguments: RawTable::new(&table),
                };
                self.raw.send(1, &bind).await;
            }
        }
    }

    async fn messages(&mut self, row: u8) {
        const REPLY_TO: &str = "amq.rabbitmq.reply-to";
        let text = |text| ShortString::new(text).ok();
        match row {
            39 => consume(&mut self.raw, REPLY_TO, "one", false).await,
            40 => {
                consume(&mut self.raw, REPLY_TO, "one", true).await;
                consume(&mut self.raw, REPLY_TO, "two", true).await;
            }
            _ => {
                let properties = match row {
                    41 => Properties { reply_to: text(REPLY_TO), ..Properties::default() },
                    43 => Properties { expiration: text("soon"), ..Properties::default() },
                    _ => Properties { user_id: text("bob"), ..Properties::default() },
                };
                self.publish("", "one", properties).await;
            }
        }
    }

    async fn declare(&mut self, kind: &str) {
        self.declare_with(kind, FieldTable::new()).await;
    }

    async fn declare_with(&mut self, kind: &str, table: FieldTable) {
        let table = table.with("x-queue-type", kind).unwrap();
        let table = table.encode();
        let declare = queue::Declare {
            queue: short(&self.name),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::new(&table),
        };
        self.raw.send(1, &declare).await;
        // Of exchange.declare, if one went before, and of this.
        while !matches!(self.raw.method().await.method(), Method::QueueDeclareOk(_)) {}
    }

    async fn publish(&mut self, exchange: &str, body: &str, properties: Properties) {
        let mut encoded = bytes::BytesMut::new();
        properties.encode(&mut encoded);
        let key = &self.name;
        self.raw.publish_with(1, exchange, key, false, &encoded, body.as_bytes()).await;
    }
}

/// Starts a consumer and leaves the answer to come.
async fn consume(raw: &mut Raw, queue: &str, tag: &str, no_ack: bool) {
    let consume = basic::Consume {
        queue: short(queue),
        consumer_tag: short(tag),
        no_local: false,
        no_ack,
        exclusive: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.send(1, &consume).await;
}

#[test]
fn a_pattern_leaves_out_what_varies() {
    for (pattern, text, same) in [
        ("active=false", "active=false", true),
        ("active=false", "active=false.", false),
        ("active=false", "inactive=false", false),
        ("invalid '…'", "invalid 'a 'b''", true),
        ("invalid '…'", "invalid 'a' b", false),
        ("… does not support …", "queue 'q' does not support this", true),
        ("no … and no …", "no one", false),
    ] {
        assert_eq!(matches_pattern(pattern, text), same, "{pattern} {text}");
    }
}
