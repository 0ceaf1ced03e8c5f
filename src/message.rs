//! Messages: a body and properties, to be published.

mod encode;
mod properties;
mod received;
mod reply_to;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

pub(crate) use encode::EncodedProperties;
pub use properties::MessageProperties;
pub use received::Received;
pub use reply_to::{ReplyName, ReplyTo};

use crate::{
    arguments::millis,
    proto::{Body, Content, DIRECT_REPLY_TO, SEQUENCE_HEADER},
    usage::UsageError,
    wire::{FieldTable, Headers, Properties, ShortString, TableLimits, Value},
};

/// A message to be published: a body, and properties.
///
/// It is **persistent** unless made [transient](Message::transient): a confirmed message then
/// survives a restart of the broker, in a durable queue. Moving it is cheap, and so is a clone,
/// which shares the body.
///
/// Setters do not fail; a value that AMQP cannot carry comes out as a [`UsageError`] when the
/// message is published, before anything is sent.
///
/// There is no setter for the user id, which the broker compares with the connection's user and
/// [`Conn::signed`](crate::Conn::signed) therefore sets, and none for the direct reply-to address, which belongs to the RPC client.
///
/// ```
/// use std::time::Duration;
/// use hopmq::Message;
///
/// let plain = Message::new(b"any bytes");
/// let order = Message::text(r#"{"id": 7}"#)
///     .content_type("application/json")
///     .message_id("order-7")
///     .expiration(Duration::from_secs(60))
///     .header("attempt", 1);
/// assert_eq!(order.body().len(), 9);
/// assert_eq!(order.properties().message_id(), Some("order-7"));
/// # let _ = plain;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a message does nothing until it is published"]
pub struct Message {
    body: Body,
    persistence: Persistence,
    /// Boxed, so that the many messages that have none stay small.
    more: Option<Box<More>>,
}

/// The property delivery-mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persistence {
    Unsaid,
    Transient,
    Persistent,
}

/// What most messages do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    /// All but the delivery mode. The headers in it came with a received message and are kept as
    /// they are, decodable or not.
    properties: Properties,
    /// Headers that were set on top.
    headers: FieldTable,
    problem: Option<UsageError>,
}

impl Persistence {
    fn from_mode(mode: Option<u8>) -> Self {
        match mode {
            None => Persistence::Unsaid,
            Some(2) => Persistence::Persistent,
            Some(_) => Persistence::Transient,
        }
    }

    fn mode(self) -> Option<u8> {
        match self {
            Persistence::Unsaid => None,
            Persistence::Transient => Some(1),
            Persistence::Persistent => Some(2),
        }
    }
}

impl Message {
    /// A message of these bytes. For a string, see [`Message::text`].
    pub fn new(body: impl Into<Message>) -> Self {
        body.into()
    }

    /// A message of a string's bytes, copied.
    pub fn text(body: impl AsRef<str>) -> Self {
        Bytes::copy_from_slice(body.as_ref().as_bytes()).into()
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The body, without the properties.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The properties that were set.
    pub fn properties(&self) -> MessageProperties {
        let (mut properties, headers) = match &self.more {
            Some(more) => (more.properties.clone(), self.merged_headers()),
            None => (Properties::default(), None),
        };
        properties.delivery_mode = self.persistence.mode();
        properties.headers = headers;
        MessageProperties::new(properties, TableLimits::default())
    }

    /// A queue that is durable keeps it through a restart of the broker. The default.
    pub fn persistent(mut self) -> Self {
        self.persistence = Persistence::Persistent;
        self
    }

    /// It is lost when the broker restarts, even if it was confirmed, and costs less. Quorum queues
    /// and streams keep every message.
    pub fn transient(mut self) -> Self {
        self.persistence = Persistence::Transient;
        self
    }

    /// The MIME type of the body.
    pub fn content_type(self, kind: impl AsRef<str>) -> Self {
        self.text_property("content-type", kind.as_ref(), |all| &mut all.content_type)
    }

    /// The MIME encoding of the body.
    pub fn content_encoding(self, encoding: impl AsRef<str>) -> Self {
        let encoding = encoding.as_ref();
        self.text_property("content-encoding", encoding, |all| &mut all.content_encoding)
    }

    /// Its priority, in a queue that [has some](crate::QueueDeclaration::max_priority); what is
    /// above the queue's highest counts as that.
    pub fn priority(mut self, priority: u8) -> Self {
        self.more().properties.priority = Some(priority);
        self
    }

    /// Which request it belongs to.
    pub fn correlation_id(self, id: impl AsRef<str>) -> Self {
        self.text_property("correlation-id", id.as_ref(), |all| &mut all.correlation_id)
    }

    /// Answers go to that queue: a token, or the [`ReplyName`] of a queue elsewhere. Direct reply-to
    /// is not said here: the RPC client owns its address.
    pub fn reply_to(mut self, queue: impl ReplyTo) -> Self {
        self.more().properties.reply_to = Some(queue.into_name());
        self
    }

    /// It expires after that time in a queue: it is dropped, or dead-lettered. Parts of a
    /// millisecond are rounded up; zero expires it unless it can be delivered at once.
    #[rustfmt::skip]
    pub fn expiration(mut self, after: Duration) -> Self { // e.g. `Duration::from_secs(60)`
        match millis(after) {
            Some(millis) => {
                let millis = ShortString::new(millis.to_string()).unwrap_or_default();
                self.more().properties.expiration = Some(millis);
            }
            None => {
                let problem = "is more than the ten years that the broker allows";
                self.fail(UsageError::bad("expiration", problem));
            }
        }
        self
    }

    /// The application's own identifier of the message.
    pub fn message_id(self, id: impl AsRef<str>) -> Self {
        self.text_property("message-id", id.as_ref(), |all| &mut all.message_id)
    }

    /// The same message with an identifier of our making, unless it has one: unique among all
    /// programs, so that a consumer can tell a message that arrives twice.
    pub(crate) fn with_some_id(self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        static PROGRAM: OnceLock<u64> = OnceLock::new();
        let has_one = self.more.as_ref().is_some_and(|more| more.properties.message_id.is_some());
        if has_one {
            return self;
        }
        // The standard library's hasher is keyed at random, once for each `RandomState`.
        let program = PROGRAM.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.message_id(format!("{program:016x}-{number}"))
    }

    /// When it was made, to the second.
    pub fn timestamp(mut self, at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(since) => self.more().properties.timestamp = Some(since.as_secs()),
            Err(_) => {
                let problem = "is before 1970, where AMQP's time begins";
                self.fail(UsageError::bad("timestamp", problem));
            }
        }
        self
    }

    /// The application's own name for the kind of message (the property `type`).
    pub fn kind(self, kind: impl AsRef<str>) -> Self {
        self.text_property("type", kind.as_ref(), |all| &mut all.kind)
    }

    /// Which application made it.
    pub fn app_id(self, id: impl AsRef<str>) -> Self {
        self.text_property("app-id", id.as_ref(), |all| &mut all.app_id)
    }

    /// Sets a header; one of that name is replaced.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        let name = name.as_ref();
        if name == SEQUENCE_HEADER {
            self.fail(UsageError::ReservedHeader { name: SEQUENCE_HEADER });
            return self;
        }
        let more = self.more();
        if let Some(kept) = &more.properties.headers {
            more.properties.headers = Some(properties::without(kept, name));
        }
        if let Err(error) = more.headers.insert(name, value) {
            self.fail(UsageError::too_long("header name")(error));
        }
        self
    }

    /// Sets all headers of the table; others stay.
    pub fn headers(self, headers: FieldTable) -> Self {
        headers.into_iter().fold(self, |message, (name, value)| message.header(name, value))
    }

    /// The message without the header of that name, whether it was received or set.
    pub fn without_header(mut self, name: impl AsRef<str>) -> Self {
        if let Some(more) = &mut self.more {
            let name = name.as_ref();
            more.headers.remove(name);
            let kept = more.properties.headers.take();
            let kept = kept.map(|headers| properties::without(&headers, name));
            more.properties.headers = kept.filter(|headers| !headers.is_empty());
            if **more == More::default() {
                self.more = None;
            }
        }
        self
    }

    /// The message as one that does not [expire](Message::expiration).
    pub fn without_expiration(mut self) -> Self {
        if let Some(more) = &mut self.more {
            more.properties.expiration = None;
        }
        self
    }

    /// How long an exchange that [delays](crate::ExchangeDeclaration::delayed) holds it (the header
    /// `x-delay`). Other exchanges pay no heed.
    pub fn delay(mut self, time: Duration) -> Self {
        match millis(time).and_then(|millis| i32::try_from(millis).ok()) {
            Some(millis) => self.header("x-delay", millis),
            None => {
                let problem = "is more than the 24 days that the plugin can hold a message";
                self.fail(UsageError::bad("x-delay", problem));
                self
            }
        }
    }

    /// A received message, to be published again. The user id is left out, since it names the user
    /// of another connection, and so is this library's own header.
    pub(crate) fn from_content(content: Content) -> Self {
        let mut properties = content.properties();
        let persistence = Persistence::from_mode(properties.delivery_mode.take());
        properties.user_id = None;
        properties.cluster_id = None;
        let headers = properties.headers.take();
        properties.headers = headers
            .map(|headers| properties::without(&headers, SEQUENCE_HEADER))
            .filter(|headers| !headers.is_empty());
        let more = (properties != Properties::default())
            .then(|| Box::new(More { properties, headers: FieldTable::new(), problem: None }));
        Message { body: content.into_body(), persistence, more }
    }

    /// A request of the RPC client: the broker puts the client's own address in place of this one.
    pub(crate) fn asking_for_reply(mut self, number: u64) -> Self {
        let properties = &mut self.more().properties;
        properties.reply_to = ShortString::from_static(DIRECT_REPLY_TO).ok();
        properties.correlation_id = ShortString::new(number.to_string()).ok();
        self
    }

    /// A reply: it carries the correlation id of its request, and no other.
    pub(crate) fn answering(mut self, correlation: Option<ShortString>) -> Self {
        self.more().properties.correlation_id = correlation;
        self
    }

    /// The user of the connection that publishes it.
    pub(crate) fn of_user(self, user: &str) -> Self {
        self.text_property("user-id", user, |all| &mut all.user_id)
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn fail(&mut self, problem: UsageError) {
        self.more().problem.get_or_insert(problem);
    }

    fn text_property(
        mut self,
        name: &'static str,
        value: &str,
        place: impl FnOnce(&mut Properties) -> &mut Option<ShortString>,
    ) -> Self {
        match ShortString::new(value) {
            Ok(value) => *place(&mut self.more().properties) = Some(value),
            Err(error) => self.fail(UsageError::too_long(name)(error)),
        }
        self
    }

    /// The headers that were received and those that were set, as one table.
    fn merged_headers(&self) -> Option<Headers> {
        let more = self.more.as_ref()?;
        match (&more.properties.headers, more.headers.is_empty()) {
            (kept, true) => kept.clone(),
            (None, false) => Some(Headers::from(&more.headers)),
            // The encoded entries of two tables, one behind the other, are again a table.
            (Some(kept), false) => {
                let both = [kept.as_bytes().as_ref(), more.headers.encode().as_ref()].concat();
                Some(Headers::from_bytes(both.into()))
            }
        }
    }
}

impl Default for Message {
    /// An empty message.
    fn default() -> Self {
        Body::default().into()
    }
}

// Not from strings: a routing key and a body cannot change places unnoticed.

impl From<Body> for Message {
    #[inline]
    fn from(body: Body) -> Self {
        Message { body, persistence: Persistence::Persistent, more: None }
    }
}

impl From<Bytes> for Message {
    #[inline]
    fn from(body: Bytes) -> Self {
        Body::from(body).into()
    }
}

impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

impl From<&'static [u8]> for Message {
    fn from(body: &'static [u8]) -> Self {
        Bytes::from_static(body).into()
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(body: [u8; N]) -> Self {
        Bytes::copy_from_slice(&body).into()
    }
}

impl<const N: usize> From<&'static [u8; N]> for Message {
    fn from(body: &'static [u8; N]) -> Self {
        Bytes::from_static(body).into()
    }
}

#[cfg(test)]
mod tests;
