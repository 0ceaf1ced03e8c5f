//! The properties of a message, to be read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{
    proto::SEQUENCE_HEADER,
    wire::{FieldTable, Headers, Properties, ShortString, TableError, TableLimits, Value},
};

/// The properties of a message (AMQP 0-9-1, 1.8.2).
///
/// Text that a peer sent in another encoding than UTF-8 has replacement characters. Headers are
/// decoded when they are asked for.
#[derive(Clone, Debug, Default)]
pub struct MessageProperties {
    properties: Properties,
    limits: TableLimits,
}

impl PartialEq for MessageProperties {
    fn eq(&self, other: &Self) -> bool {
        self.properties == other.properties
    }
}

impl Eq for MessageProperties {}

impl MessageProperties {
    /// Takes what came in, without this library's own header. Headers are decoded within the limits.
    pub(crate) fn new(mut properties: Properties, limits: TableLimits) -> Self {
        if let Some(headers) = properties.headers.take() {
            let headers = without(&headers, SEQUENCE_HEADER);
            properties.headers = (!headers.is_empty()).then_some(headers);
        }
        MessageProperties { properties, limits }
    }

    /// The MIME type of the body.
    pub fn content_type(&self) -> Option<&str> {
        text(&self.properties.content_type)
    }

    /// The MIME encoding of the body.
    pub fn content_encoding(&self) -> Option<&str> {
        text(&self.properties.content_encoding)
    }

    /// Whether a durable queue keeps it through a restart of the broker.
    pub fn is_persistent(&self) -> bool {
        self.properties.delivery_mode == Some(2)
    }

    /// The priority.
    pub fn priority(&self) -> Option<u8> {
        self.properties.priority
    }

    /// Which request it belongs to.
    pub fn correlation_id(&self) -> Option<&str> {
        text(&self.properties.correlation_id)
    }

    /// Where answers go.
    pub fn reply_to(&self) -> Option<&str> {
        text(&self.properties.reply_to)
    }

    /// After what time in a queue it expires; `None` also for what is no number.
    pub fn expiration(&self) -> Option<Duration> {
        text(&self.properties.expiration)?.parse().ok().map(Duration::from_millis)
    }

    /// The application's own identifier of the message.
    pub fn message_id(&self) -> Option<&str> {
        text(&self.properties.message_id)
    }

    /// When it was made, to the second; `None` also for a time that the system cannot express.
    pub fn timestamp(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.properties.timestamp?))
    }

    /// The application's own name for the kind of message (the property `type`).
    pub fn kind(&self) -> Option<&str> {
        text(&self.properties.kind)
    }

    /// The user who published it, as the broker has checked.
    pub fn user_id(&self) -> Option<&str> {
        text(&self.properties.user_id)
    }

    /// Which application made it.
    pub fn app_id(&self) -> Option<&str> {
        text(&self.properties.app_id)
    }

    /// A header. `None` when it is not there, or cannot be decoded: see
    /// [`MessageProperties::headers`].
    pub fn header(&self, name: &str) -> Option<Value> {
        self.properties.headers.as_ref()?.raw().get_within(name, self.limits).ok().flatten()
    }

    /// All headers, decoded.
    ///
    /// # Errors
    /// [`TableError`] when the peer sent no valid table, or one beyond
    /// [`Limits::table_depth`](crate::Limits::table_depth) or
    /// [`Limits::table_entries`](crate::Limits::table_entries). The message can be settled and
    /// published again all the same, and [`as_wire`](MessageProperties::as_wire) has the bytes.
    pub fn headers(&self) -> Result<FieldTable, TableError> {
        match &self.properties.headers {
            Some(headers) => headers.raw().decode_within(self.limits),
            None => Ok(FieldTable::new()),
        }
    }

    /// The properties as the wire has them.
    pub fn as_wire(&self) -> &Properties {
        &self.properties
    }
}

fn text(property: &Option<ShortString>) -> Option<&str> {
    property.as_ref().map(ShortString::as_str)
}

/// The table without the entry of that name, cut out of the encoded bytes: what cannot be decoded
/// stays as it is.
pub(super) fn without(headers: &Headers, name: &str) -> Headers {
    let bytes = headers.as_bytes();
    match headers.raw().entry_range(name) {
        Ok(Some(entry)) => {
            let before = bytes.get(..entry.start).unwrap_or_default();
            let behind = bytes.get(entry.end..).unwrap_or_default();
            Headers::from_bytes(Bytes::from([before, behind].concat()))
        }
        _ => headers.clone(),
    }
}
