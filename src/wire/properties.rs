//! The fourteen properties of a message (class `basic`; AMQP 0-9-1, section 4.2.6.1).
//!
//! [`RawProperties`] borrows them from the wire, [`Properties`] owns them. Both are written as a
//! word of flags and the list of those present.

use bytes::{Bytes, BytesMut};

use super::octets::{Field, Meter, Reader, Short, Writer};
use super::{FieldTable, RawTable, ShortStr, ShortString, TableError, Value};

/// The class to which these properties belong.
pub(super) const CLASS: u16 = 60;

/// The properties of a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// Not even the flags are there.
    #[error("properties of {len} bytes: too short for their flags")]
    NoFlags {
        /// The length.
        len: usize,
    },
    /// Flags that stand for no property of the class `basic`: what follows cannot be read.
    #[error("unknown property flags {flags:#06x}")]
    UnknownFlags {
        /// All flags.
        flags: u16,
    },
    /// The bytes end within a property, or its length claims more than there is.
    #[error("the property {property} ends early, or its length claims more than there is")]
    Truncated {
        /// The property, as the spec names it.
        property: &'static str,
    },
    /// There are bytes behind the last property.
    #[error("{extra} bytes behind the properties")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

/// The headers of a message: a field table as it is on the wire.
///
/// They are decoded when asked, and a table that cannot be (too deep, say) is carried raw, so
/// that its message can still be rejected or passed on.
///
/// ```
/// use hopmq::wire::{FieldTable, Headers};
///
/// let headers = Headers::from(&FieldTable::new().with("retries", 3)?);
/// assert_eq!(headers.get("retries").map(|n| n.and_then(|n| n.as_i64())), Ok(Some(3)));
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers(Bytes);

impl Headers {
    /// Takes the content of a table as it is on the wire, without the length in front.
    pub const fn from_bytes(content: Bytes) -> Self {
        Self(content)
    }

    /// The content of the table, without the length in front.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The table, borrowed and not decoded.
    pub fn raw(&self) -> RawTable<'_> {
        RawTable::new(&self.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes all of them.
    ///
    /// # Errors
    /// [`TableError`] when the bytes are no table, or exceed its bounds.
    pub fn decode(&self) -> Result<FieldTable, TableError> {
        self.raw().decode()
    }

    /// Decodes the header `name` and skips the others.
    ///
    /// # Errors
    /// [`TableError`] when one before it, or its value, cannot be decoded.
    pub fn get(&self, name: &str) -> Result<Option<Value>, TableError> {
        self.raw().get(name)
    }
}

impl From<&FieldTable> for Headers {
    fn from(table: &FieldTable) -> Self {
        Self(table.encode())
    }
}

impl From<FieldTable> for Headers {
    fn from(table: FieldTable) -> Self {
        Self(table.encode())
    }
}

/// One row per property: flag, field, owned type, borrowed type, the spec's name.
macro_rules! properties {
    ($($(#[$doc:meta])* $bit:literal $field:ident : $owned:ty | $raw:ty = $name:literal;)*) => {
        /// The properties of a message, owned.
        ///
        /// ```
        /// use bytes::BytesMut;
        /// use hopmq::wire::{Properties, ShortString};
        ///
        /// let properties = Properties {
        ///     content_type: Some(ShortString::new("text/plain")?),
        ///     delivery_mode: Some(2),
        ///     ..Properties::default()
        /// };
        /// let mut encoded = BytesMut::new();
        /// properties.encode(&mut encoded);
        /// assert_eq!(encoded, &b"\x90\x00\x0atext/plain\x02"[..]);
        /// assert_eq!(Properties::decode(encoded.freeze()), Ok(properties));
        /// # Ok::<(), hopmq::wire::NameTooLong>(())
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Properties {
            $($(#[$doc])* pub $field: Option<$owned>,)*
        }

        /// The properties of a message, borrowed from the wire.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct RawProperties<'a> {
            $($(#[$doc])* pub $field: Option<$raw>,)*
        }

        impl Properties {
            /// The same properties, borrowed as the wire wants them.
            pub fn as_raw(&self) -> RawProperties<'_> {
                RawProperties { $($field: self.$field.as_ref().map(Lend::lend),)* }
            }
        }

        impl<'a> RawProperties<'a> {
            /// Reads flags and list. Nothing is copied, the headers are not looked into.
            ///
            /// # Errors
            /// [`PropertiesError`] for unknown flags, and for a list that ends early or late.
            pub fn decode(encoded: &'a [u8]) -> Result<Self, PropertiesError> {
                let mut from = Reader::new(encoded);
                let Ok(flags) = from.u16() else {
                    return Err(PropertiesError::NoFlags { len: encoded.len() });
                };
                if flags & !KNOWN_FLAGS != 0 {
                    return Err(PropertiesError::UnknownFlags { flags });
                }
                let properties = Self {
                    $($field: if flags & (1 << $bit) == 0 {
                        None
                    } else {
                        let property = Field::read(&mut from);
                        Some(property.map_err(|Short| PropertiesError::Truncated { property: $name })?)
                    },)*
                };
                match from.rest().len() {
                    0 => Ok(properties),
                    extra => Err(PropertiesError::Trailing { extra }),
                }
            }

            /// The flags: a bit for each property that is present.
            pub const fn flags(&self) -> u16 {
                0 $(| ((self.$field.is_some() as u16) << $bit))*
            }

            /// The length of the encoded properties, flags included.
            pub fn encoded_len(&self) -> usize {
                let mut meter = Meter::default();
                $(if let Some(property) = self.$field {
                    property.measure(&mut meter);
                })*
                2 + meter.len()
            }

            fn write(&self, out: &mut Writer<'_>) {
                out.array(self.flags().to_be_bytes());
                $(if let Some(property) = self.$field {
                    property.write(out);
                })*
            }
        }

        const KNOWN_FLAGS: u16 = 0 $(| (1 << $bit))*;

        /// Every property in the order of the wire: the spec's name and its flag.
        pub const PROPERTIES: &[(&str, u16)] = &[$(($name, 1 << $bit)),*];
    };
}

properties! {
    /// The MIME type of the body.
    15 content_type: ShortString | ShortStr<'a> = "content-type";
    /// The MIME encoding of the body.
    14 content_encoding: ShortString | ShortStr<'a> = "content-encoding";
    /// The headers.
    13 headers: Headers | RawTable<'a> = "headers";
    /// 1 is transient, 2 persistent.
    12 delivery_mode: u8 | u8 = "delivery-mode";
    /// The priority, 0 to 255; a queue has a maximum of its own.
    11 priority: u8 | u8 = "priority";
    /// Which request this answers.
    10 correlation_id: ShortString | ShortStr<'a> = "correlation-id";
    /// Where answers go.
    9 reply_to: ShortString | ShortStr<'a> = "reply-to";
    /// After how many milliseconds the message expires, as decimal text.
    8 expiration: ShortString | ShortStr<'a> = "expiration";
    /// The application's identifier of the message.
    7 message_id: ShortString | ShortStr<'a> = "message-id";
    /// Seconds since 1970 in UTC.
    6 timestamp: u64 | u64 = "timestamp";
    /// The application's name for the kind of message (`type` in the spec).
    5 kind: ShortString | ShortStr<'a> = "type";
    /// Who published it; RabbitMQ checks it against the connection's user.
    4 user_id: ShortString | ShortStr<'a> = "user-id";
    /// Which application published it.
    3 app_id: ShortString | ShortStr<'a> = "app-id";
    /// Reserved by AMQP 0-9-1, carried by RabbitMQ.
    2 cluster_id: ShortString | ShortStr<'a> = "cluster-id";
}

impl Properties {
    /// Appends flags and list: what follows the fixed part of a content header.
    pub fn encode(&self, buf: &mut BytesMut) {
        self.as_raw().encode(buf);
    }

    /// The length of what [`Properties::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        self.as_raw().encoded_len()
    }

    /// Reads flags and list. The headers become a slice of `encoded`; strings that are not UTF-8
    /// are kept with replacement characters.
    ///
    /// # Errors
    /// [`PropertiesError`] for unknown flags, and for a list that ends early or late.
    pub fn decode(encoded: Bytes) -> Result<Self, PropertiesError> {
        let raw = RawProperties::decode(&encoded)?;
        let string = |short: Option<ShortStr<'_>>| short.map(ShortString::from_short_lossy);
        Ok(Self {
            content_type: string(raw.content_type),
            content_encoding: string(raw.content_encoding),
            headers: raw.headers.map(|table| Headers(encoded.slice_ref(table.as_bytes()))),
            delivery_mode: raw.delivery_mode,
            priority: raw.priority,
            correlation_id: string(raw.correlation_id),
            reply_to: string(raw.reply_to),
            expiration: string(raw.expiration),
            message_id: string(raw.message_id),
            timestamp: raw.timestamp,
            kind: string(raw.kind),
            user_id: string(raw.user_id),
            app_id: string(raw.app_id),
            cluster_id: string(raw.cluster_id),
        })
    }

    /// Whether [`Properties::decode`] would succeed, without a copy or allocation.
    ///
    /// # Errors
    /// Those of [`Properties::decode`].
    #[inline]
    pub fn validate(encoded: &[u8]) -> Result<(), PropertiesError> {
        match encoded {
            // Most messages have none, or the delivery mode (bit 12) alone.
            [0, 0] | [0x10, 0, _] => Ok(()),
            _ => RawProperties::decode(encoded).map(drop),
        }
    }
}

impl RawProperties<'_> {
    /// Appends flags and list: what follows the fixed part of a content header.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = buf.len();
        buf.resize(start + self.encoded_len(), 0);
        if let Some(room) = buf.get_mut(start..) {
            self.write(&mut Writer::new(room));
        }
    }
}

/// The borrowed form of a property's owned type.
trait Lend {
    type Lent<'a>
    where
        Self: 'a;
    fn lend(&self) -> Self::Lent<'_>;
}

impl Lend for ShortString {
    type Lent<'a> = ShortStr<'a>;

    fn lend(&self) -> ShortStr<'_> {
        self.as_short()
    }
}

impl Lend for Headers {
    type Lent<'a> = RawTable<'a>;

    fn lend(&self) -> RawTable<'_> {
        self.raw()
    }
}

macro_rules! lend_copies {
    ($($type:ty),*) => {$(
        impl Lend for $type {
            type Lent<'a> = $type;

            fn lend(&self) -> $type {
                *self
            }
        }
    )*};
}

lend_copies!(u8, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_cannot_be_decoded_are_carried_raw() {
        let content = Bytes::from_static(b"\x01a?");
        let properties = Properties {
            headers: Some(Headers::from_bytes(content.clone())),
            ..Default::default()
        };
        let mut buf = BytesMut::new();
        properties.encode(&mut buf);
        let decoded = Properties::decode(buf.freeze()).unwrap();
        let headers = decoded.headers.unwrap();
        assert_eq!(headers.as_bytes(), &content);
        assert_eq!(headers.decode(), Err(TableError::UnknownTag { tag: b'?', at: 0 }));
    }

    #[test]
    fn what_is_not_a_list_of_properties_is_named() {
        let error = |bytes: &[u8]| Properties::validate(bytes).unwrap_err();
        assert_eq!(error(&[0]), PropertiesError::NoFlags { len: 1 });
        assert_eq!(error(&[0x80, 1, 0]), PropertiesError::UnknownFlags { flags: 0x8001 });
        assert_eq!(error(&[0, 0, 7]), PropertiesError::Trailing { extra: 1 });
        let truncated = PropertiesError::Truncated { property: "headers" };
        assert_eq!(error(&[0x20, 0, 0xff, 0xff, 0xff, 0xff]), truncated);
        assert_eq!(Properties::validate(&[0, 0]), Ok(()));
        assert_eq!(Properties::validate(&[0x10, 0, 2]), Ok(()));
        assert_eq!(error(&[0x10, 0]), PropertiesError::Truncated { property: "delivery-mode" });
        assert_eq!(error(&[0x10, 0, 2, 0]), PropertiesError::Trailing { extra: 1 });
    }

    #[test]
    fn strings_that_are_not_text_are_kept_lossily() {
        let decoded = Properties::decode(Bytes::from_static(b"\x00\x80\x02a\xff")).unwrap();
        assert_eq!(decoded.message_id.unwrap().as_str(), "a\u{fffd}");
    }
}
