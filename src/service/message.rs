//! A message with a typed payload.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{
    codec::{Decode, DecodeError, Encode, EncodeError},
    history,
    id::{MessageId, Priority},
    span,
    trace::TraceContext,
};
use crate::{
    Received, ReplyName, ReplyTo,
    wire::{FieldTable, NameTooLong, Value},
};

/// A message with a payload of the type `T`, in a codec's words on the wire.
///
/// [`Message::new`] gives it an id and the time; it is **persistent**, unless made
/// [transient](Message::transient). [`Message::encode`] makes a [`hopmq::Message`](crate::Message)
/// of it, [`Message::decode`] reads one that was received; publishers and workers of this module
/// do both.
///
/// ```
/// use hopmq::service::{Message, Priority, Text};
///
/// let order = Message::new("12 apples".to_owned())
///     .priority(Priority::High)
///     .correlation_id("basket-7")
///     .header("shop", "eu")?;
/// assert_eq!((order.payload.as_str(), order.priority), ("12 apples", Priority::High));
///
/// let raw = order.encode(&Text)?;
/// assert!(raw.properties().is_persistent());
/// assert_eq!(raw.properties().content_type(), Some("text/plain; charset=utf-8"));
/// # Ok::<(), hopmq::service::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a message does nothing until it is published"]
#[non_exhaustive]
pub struct Message<T> {
    /// Its own. A message that came without one got one when it was received.
    pub id: MessageId,
    /// When it was made, to the second; when it was received, for one that came without.
    pub timestamp: SystemTime,
    /// How urgent it is; normal for one that came without.
    pub priority: Priority,
    /// Which request, or which piece of business, it belongs to.
    pub correlation_id: Option<String>,
    /// The queue to which answers go.
    pub reply_to: Option<ReplyName>,
    /// As it was received; one that is published says its codec's.
    pub content_type: Option<String>,
    /// As it was received; one that is published says its codec's.
    pub content_encoding: Option<String>,
    /// Whatever else it says.
    pub headers: FieldTable,
    /// Whether a durable queue keeps it through a restart of the broker.
    pub persistent: bool,
    /// What it is about.
    pub payload: T,
}

impl<T> Message<T> {
    /// A persistent message of normal priority, with an id and the time.
    pub fn new(payload: T) -> Self {
        Message {
            id: MessageId::random(),
            timestamp: to_the_second(SystemTime::now()),
            priority: Priority::Normal,
            correlation_id: None,
            reply_to: None,
            content_type: None,
            content_encoding: None,
            headers: FieldTable::new(),
            persistent: true,
            payload,
        }
    }

    /// Another id: the one by which its consumer is to know it again.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Which request, or which piece of business, it belongs to.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Answers go to that queue: a token, or the [`ReplyName`] of a queue elsewhere.
    pub fn reply_to(mut self, queue: impl ReplyTo) -> Self {
        self.reply_to = ReplyName::new(queue.into_name().as_str()).ok();
        self
    }

    /// Sets a header; one of that name is replaced.
    ///
    /// # Errors
    /// [`NameTooLong`] when the name has more than 255 bytes.
    pub fn header(
        mut self,
        name: impl AsRef<str>,
        value: impl Into<Value>,
    ) -> Result<Self, NameTooLong> {
        self.headers.insert(name.as_ref(), value.into())?;
        Ok(self)
    }

    /// It is lost when the broker restarts, and costs less; see
    /// [`hopmq::Message::transient`](crate::Message::transient).
    pub fn transient(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// The place in a trace that its consumer is to go on from.
    pub fn trace(mut self, context: &TraceContext) -> Self {
        context.write(&mut self.headers);
        self
    }

    /// The place in a trace that it came with.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::of(&self.headers)
    }

    /// Which attempt to process it this is, as far as [`Retries`](super::Retries) have counted: 1
    /// at first.
    pub fn attempt(&self) -> u32 {
        history::attempts_before(&self.headers).saturating_add(1)
    }

    /// The same message about something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Message<U> {
        Message {
            id: self.id,
            timestamp: self.timestamp,
            priority: self.priority,
            correlation_id: self.correlation_id,
            reply_to: self.reply_to,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            headers: self.headers,
            persistent: self.persistent,
            payload: change(self.payload),
        }
    }

    /// What it is about, without the rest.
    pub fn into_payload(self) -> T {
        self.payload
    }

    /// The same message with its payload in a codec's words, to be kept somewhere: for an
    /// [`Outbox`](super::Outbox). With the feature `opentelemetry` it goes on in the trace of the
    /// span in which this is called, unless it says another.
    ///
    /// # Errors
    /// [`EncodeError`] when the codec cannot write the payload.
    pub fn to_bytes<C: Encode<T>>(&self, codec: &C) -> Result<Message<Bytes>, EncodeError> {
        let mut message = self.in_words_of(codec)?;
        span::carry(&mut message.headers);
        Ok(message)
    }

    fn in_words_of<C: Encode<T>>(&self, codec: &C) -> Result<Message<Bytes>, EncodeError> {
        let bytes = codec.encode(&self.payload).map_err(|source| EncodeError {
            content_type: codec.content_type().to_owned(),
            source,
        })?;
        Ok(Message {
            id: self.id.clone(),
            timestamp: self.timestamp,
            priority: self.priority,
            correlation_id: self.correlation_id.clone(),
            reply_to: self.reply_to.clone(),
            content_type: Some(codec.content_type().to_owned()),
            content_encoding: codec.content_encoding().map(str::to_owned),
            headers: self.headers.clone(),
            persistent: self.persistent,
            payload: bytes,
        })
    }

    /// As the broker takes it.
    ///
    /// # Errors
    /// [`EncodeError`] when the codec cannot write the payload.
    pub fn encode<C: Encode<T>>(&self, codec: &C) -> Result<crate::Message, EncodeError> {
        self.in_words_of(codec).map(crate::Message::from)
    }

    /// From a message that was received.
    ///
    /// # Errors
    /// [`DecodeError`]: it is of another type, its headers are no table, or its body no payload.
    pub fn decode<C: Decode<T>>(received: &Received, codec: &C) -> Result<Self, DecodeError> {
        let properties = received.properties();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (kind, encoding) = (properties.content_type(), properties.content_encoding());
        if !codec.accepts(kind, encoding) {
            return Err(DecodeError::Unsupported {
                content_type: owned(kind),
                content_encoding: owned(encoding),
                expected: codec.content_type().to_owned(),
            });
        }
        let headers = properties.headers().map_err(DecodeError::Headers)?;
        let payload = match received.contiguous_body() {
            Some(body) => codec.decode(body),
            None => codec.decode(&received.body().into_bytes()),
        };
        let payload = payload.map_err(|source| DecodeError::Payload {
            content_type: codec.content_type().to_owned(),
            source,
        })?;
        let id = properties.message_id().and_then(|id| MessageId::new(id).ok());
        Ok(Message {
            id: id.unwrap_or_else(MessageId::random),
            timestamp: properties.timestamp().unwrap_or_else(|| to_the_second(SystemTime::now())),
            priority: properties.priority().map(Priority::from_number).unwrap_or_default(),
            correlation_id: owned(properties.correlation_id()),
            reply_to: properties.reply_to().and_then(|name| ReplyName::new(name).ok()),
            content_type: owned(kind),
            content_encoding: owned(encoding),
            headers,
            persistent: properties.is_persistent(),
            payload,
        })
    }
}

/// As the broker takes it: bytes that say what they are.
impl From<Message<Bytes>> for crate::Message {
    fn from(message: Message<Bytes>) -> Self {
        let mut raw = crate::Message::new(message.payload)
            .message_id(&message.id)
            .timestamp(message.timestamp)
            .priority(message.priority.as_number())
            .headers(message.headers);
        if let Some(kind) = &message.content_type {
            raw = raw.content_type(kind);
        }
        if let Some(encoding) = &message.content_encoding {
            raw = raw.content_encoding(encoding);
        }
        if let Some(id) = &message.correlation_id {
            raw = raw.correlation_id(id);
        }
        if let Some(queue) = message.reply_to {
            raw = raw.reply_to(queue);
        }
        if message.persistent { raw } else { raw.transient() }
    }
}

impl<T: fmt::Display> fmt::Display for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.payload, self.id)
    }
}

/// AMQP's time has no parts of a second.
fn to_the_second(at: SystemTime) -> SystemTime {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
