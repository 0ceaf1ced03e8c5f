//! Where a script is played: connections to one broker, and the transcript of all it answers.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use hopmq::wire::{
    ContentHeader, FieldTable, FrameKind, Method, MethodFrame, PROTOCOL_HEADER, Properties,
    RawTable, Value,
    method::{basic, channel, exchange, queue},
};

use crate::raw::{Raw, RawFrame, short};

/// A script: what it is called, the first version whose answers it holds for and the first one for
/// which it no longer does, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) since: (u32, u32),
    pub(crate) before: (u32, u32),
    /// RabbitMQ hangs up in the end and does not say why; we say it.
    pub(crate) silent: bool,
    pub(crate) play: fn(Stage) -> Play,
}

/// The playing of a script, which ends with its transcript.
pub(crate) type Play = Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

/// One connection with channel 1 open, and what came back on it.
pub(crate) struct Stage {
    host: String,
    /// The name of the script, which is that of its entities.
    pub(crate) name: &'static str,
    quiet: Duration,
    raw: Option<Raw>,
    /// The other connection, while one of two is used.
    other: Option<Raw>,
    transcript: Vec<String>,
    /// Generated names in the order of their appearance.
    generated: Vec<String>,
    /// Who logs in, and with which heartbeat.
    user: &'static str,
    heartbeat: u16,
    /// Raises the broker's memory alarm, or clears it.
    alarm: Alarm,
}

/// Raises a broker's memory alarm, or clears it.
pub(crate) type Alarm = Arc<dyn Fn(bool) + Send + Sync>;

impl Stage {
    pub(crate) fn new(host: String, name: &'static str, quiet: Duration, alarm: Alarm) -> Self {
        Stage {
            host,
            name,
            quiet,
            raw: None,
            other: None,
            transcript: Vec::new(),
            generated: Vec::new(),
            user: "guest",
            heartbeat: 0,
            alarm,
        }
    }

    pub(crate) fn end(self) -> Vec<String> {
        self.transcript
    }

    /// A name of the script's own.
    pub(crate) fn own(&self, suffix: &str) -> String {
        format!("hopmq.{}{suffix}", self.name)
    }

    /// Sends a method on a channel and notes what comes back.
    pub(crate) async fn send(&mut self, channel: u16, method: &impl MethodFrame) {
        self.raw().await.send(channel, method).await;
        self.listen().await;
    }

    /// Goes on with a second connection; the first one stays open.
    pub(crate) async fn second(&mut self) {
        std::mem::swap(&mut self.raw, &mut self.other);
        self.transcript.push("-- the other connection".to_owned());
    }

    /// Goes back to the first connection, and notes what came there meanwhile.
    pub(crate) async fn first(&mut self) {
        self.second().await;
        self.listen().await;
    }

    /// Logs in as another user from here on, whose password is its name.
    pub(crate) fn log_in_as(&mut self, user: &'static str) {
        self.raw = None;
        self.user = user;
    }

    /// Asks for a heartbeat from the next connection on, and sends none itself.
    pub(crate) fn ask_for_heartbeats(&mut self, seconds: u16) {
        self.heartbeat = seconds;
    }

    /// Raises the broker's memory alarm, or clears it, and notes what comes of that.
    pub(crate) async fn alarm(&mut self, raised: bool) {
        let alarm = Arc::clone(&self.alarm);
        tokio::task::spawn_blocking(move || alarm(raised)).await.unwrap();
        self.listen().await;
    }

    /// A generated name, in the order of their appearance.
    pub(crate) fn generated(&self, index: usize) -> &str {
        &self.generated[index]
    }

    /// A socket on which nothing but the protocol header and connection.start-ok was said.
    pub(crate) async fn greet(&mut self, mechanism: &str, response: &[u8]) {
        let mut raw = Raw::dial_address(&self.host).await;
        raw.write(&PROTOCOL_HEADER).await;
        raw.start_ok_with(mechanism, response).await;
        self.raw = Some(raw);
        self.listen().await;
    }

    /// Opens a channel.
    pub(crate) async fn open(&mut self, number: u16) {
        self.send(number, &channel::Open {}).await;
    }

    /// Publishes, and notes what comes back.
    pub(crate) async fn publish(&mut self, exchange: &str, key: &str, body: &str) {
        self.publish_with(exchange, key, false, Properties::default(), body).await;
    }

    pub(crate) async fn publish_with(
        &mut self,
        exchange: &str,
        key: &str,
        mandatory: bool,
        properties: Properties,
        body: &str,
    ) {
        let mut encoded = bytes::BytesMut::new();
        properties.encode(&mut encoded);
        self.raw().await.publish_with(1, exchange, key, mandatory, &encoded, body.as_bytes()).await;
        self.listen().await;
    }

    /// Declares a queue of the script's own on channel 1: durable, with these arguments.
    pub(crate) async fn queue(&mut self, suffix: &str, arguments: FieldTable) {
        let name = self.own(suffix);
        self.declare(&name, true, false, false, arguments).await;
    }

    pub(crate) async fn declare(
        &mut self,
        name: &str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: FieldTable,
    ) {
        let arguments = arguments.encode();
        let declare = queue::Declare {
            queue: short(name),
            passive: false,
            durable,
            exclusive,
            auto_delete,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.send(1, &declare).await;
    }

    /// Asks for the counts of a queue.
    pub(crate) async fn count(&mut self, suffix: &str) {
        let name = self.own(suffix);
        let declare = queue::Declare {
            queue: short(&name),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        self.send(1, &declare).await;
    }

    /// Deletes a queue, as every script does with its own at the end.
    pub(crate) async fn delete(&mut self, suffix: &str) {
        let name = self.own(suffix);
        let delete = queue::Delete {
            queue: short(&name),
            if_unused: false,
            if_empty: false,
            no_wait: false,
        };
        self.send(1, &delete).await;
    }

    pub(crate) async fn exchange(&mut self, name: &str, kind: &str, arguments: FieldTable) {
        let arguments = arguments.encode();
        let declare = exchange::Declare {
            exchange: short(name),
            kind: short(kind),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.send(1, &declare).await;
    }

    pub(crate) async fn delete_exchange(&mut self, name: &str) {
        let delete = exchange::Delete { exchange: short(name), if_unused: false, no_wait: false };
        self.send(1, &delete).await;
    }

    pub(crate) async fn bind(
        &mut self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) {
        let arguments = arguments.encode();
        let bind = queue::Bind {
            queue: short(queue),
            exchange: short(exchange),
            routing_key: short(key),
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.send(1, &bind).await;
    }

    pub(crate) async fn consume(
        &mut self,
        suffix: &str,
        tag: &str,
        no_ack: bool,
        arguments: FieldTable,
    ) {
        let name = self.own(suffix);
        self.consume_from(1, &name, tag, no_ack, false, arguments).await;
    }

    pub(crate) async fn consume_from(
        &mut self,
        channel: u16,
        queue: &str,
        tag: &str,
        no_ack: bool,
        exclusive: bool,
        arguments: FieldTable,
    ) {
        let arguments = arguments.encode();
        let consume = basic::Consume {
            queue: short(queue),
            consumer_tag: short(tag),
            no_local: false,
            no_ack,
            exclusive,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.send(channel, &consume).await;
    }

    pub(crate) async fn get(&mut self, suffix: &str, no_ack: bool) {
        let name = self.own(suffix);
        self.send(1, &basic::Get { queue: short(&name), no_ack }).await;
    }

    pub(crate) async fn qos(&mut self, count: u16, global: bool) {
        self.send(1, &basic::Qos { prefetch_size: 0, prefetch_count: count, global }).await;
    }

    pub(crate) async fn ack(&mut self, tag: u64, multiple: bool) {
        self.send(1, &basic::Ack { delivery_tag: tag, multiple }).await;
    }

    pub(crate) async fn nack(&mut self, tag: u64, multiple: bool, requeue: bool) {
        self.send(1, &basic::Nack { delivery_tag: tag, multiple, requeue }).await;
    }

    /// Writes frames that no encoder makes.
    pub(crate) async fn frames(&mut self, octets: &[u8]) {
        self.raw().await.write(octets).await;
        self.listen().await;
    }

    /// Lets time pass.
    pub(crate) async fn wait(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
        self.listen().await;
    }

    /// Notes what comes until there is silence. A channel that is closed is confirmed and opened
    /// again; a connection that is closed is confirmed, and the next method opens a new one.
    async fn listen(&mut self) {
        let quiet = self.quiet;
        loop {
            let Some(raw) = &mut self.raw else { return };
            match raw.frame_within(quiet).await {
                Ok(None) => return,
                Err(()) => {
                    self.transcript.push("the connection ends".to_owned());
                    self.raw = None;
                }
                Ok(Some(frame)) => self.note(frame).await,
            }
        }
    }

    async fn note(&mut self, frame: RawFrame) {
        let Some(raw) = &mut self.raw else { return };
        let mut line = match frame.kind {
            FrameKind::Method => format!("{} {:?}", frame.channel, frame.method()),
            FrameKind::Header => format!("{} {}", frame.channel, header(&frame)),
            FrameKind::Body => {
                format!("{} {:?}", frame.channel, String::from_utf8_lossy(&frame.payload))
            }
            FrameKind::Heartbeat => return,
        };
        let mut reopen = None;
        if frame.kind == FrameKind::Method {
            match frame.method() {
                Method::ChannelClose(_) => {
                    raw.send(frame.channel, &channel::CloseOk {}).await;
                    raw.send(frame.channel, &channel::Open {}).await;
                    reopen = Some(frame.channel);
                }
                Method::ConnectionClose(_) => {
                    raw.send(0, &hopmq::wire::method::connection::CloseOk {}).await;
                    self.raw = None;
                }
                // When the socket goes then is the broker's affair.
                Method::ConnectionCloseOk(_) => self.raw = None,
                _ => {}
            }
        }
        self.stand_in(&mut line);
        self.transcript.push(line);
        if let (Some(_), Some(raw)) = (reopen, &mut self.raw) {
            let answer = raw.frame().await;
            assert!(matches!(answer.method(), Method::ChannelOpenOk(_)), "{answer:?}");
        }
    }

    /// Puts placeholders in the place of generated names.
    fn stand_in(&mut self, line: &mut String) {
        for prefix in ["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."] {
            let mut from = 0;
            while let Some(found) = line.get(from..).and_then(|rest| rest.find(prefix)) {
                let start = from + found + prefix.len();
                let length = line[start..].find(['"', ' ', '\'']).unwrap_or(line.len() - start);
                let name = line[start..start + length].to_owned();
                let index = self.generated.iter().position(|have| *have == name);
                let index = index.unwrap_or_else(|| {
                    self.generated.push(name);
                    self.generated.len() - 1
                });
                line.replace_range(start..start + length, &format!("<{index}>"));
                from = start;
            }
        }
    }

    async fn raw(&mut self) -> &mut Raw {
        if self.raw.is_none() {
            let response = format!("\0{user}\0{user}", user = self.user);
            let raw = Raw::dial_address(&self.host).await;
            let mut raw = raw.tuned_as(response.as_bytes(), self.heartbeat).await;
            raw.open_channel(1).await;
            self.raw = Some(raw);
        }
        self.raw.as_mut().unwrap()
    }
}

/// The version that a broker says it has.
pub(crate) async fn version_of(host: &str) -> (u32, u32) {
    let mut raw = Raw::dial_address(host).await;
    raw.write(&PROTOCOL_HEADER).await;
    let start = raw.method().await;
    let Method::ConnectionStart(start) = start.method() else { panic!("{start:?}") };
    let version = start.server_properties.get("version").unwrap().unwrap();
    let mut parts = version.as_str().unwrap().split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// A content header without what differs by the clock.
fn header(frame: &RawFrame) -> String {
    let header = ContentHeader::decode(&frame.payload).unwrap();
    let properties = Properties::decode(frame.payload.slice(12..)).unwrap();
    let headers = properties.headers.clone().map(|headers| headers.decode().unwrap());
    let headers = headers.map(|headers| {
        let mut fields: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
        fields.sort();
        fields.join(" ")
    });
    let rest = Properties { headers: None, ..properties };
    format!("{} octets, {rest:?}, headers {headers:?}", header.body_size)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Table(table) => {
            let mut fields: Vec<String> = table
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "time" => "time".to_owned(),
                    name => format!("{name}={}", shown(value)),
                })
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(" "))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        value => match value.as_str() {
            Some(text) => format!("{text:?}"),
            None => format!("{value:?}"),
        },
    }
}
