//! The methods of AMQP 0-9-1 as RabbitMQ speaks them, from one table.
//!
//! `table.rs` lists every method once: class, number, fields, answers, whether content
//! follows. `macros.rs` turns the list into a struct per method (in a module per class),
//! the [`Method`] enum, names, and [`METHODS`], the same table as data. Nothing else in the crate
//! knows a class or method number. `tests/wire_spec.rs` holds the table against the published spec.
//!
//! The spec's reserved fields are written as zero, skipped when read, and not in the structs.
//! The class `access` of RabbitMQ's machine-readable spec is left out: AMQP 0-9-1 itself removed it.

#[macro_use]
mod macros;
mod table;

use std::fmt;

use bytes::BytesMut;

use super::octets::{Meter, Reader, Short, Writer};

pub use super::octets::FieldKind;
pub use table::{METHODS, Method, basic, channel, confirm, connection, exchange, queue, tx};

/// The numbers that name a method on the wire.
///
/// ```
/// use hopmq::wire::method::{MethodFrame, MethodId, queue};
///
/// assert_eq!(queue::Declare::ID, MethodId { class: 50, method: 10 });
/// assert_eq!(queue::Declare::ID.to_string(), "queue.declare");
/// assert_eq!(MethodId { class: 50, method: 99 }.to_string(), "50.99");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    /// The class, as 50 for `queue`.
    pub class: u16,
    /// The method within its class, as 10 for `declare`.
    pub method: u16,
}

impl MethodId {
    /// The name, as `queue.declare`, when the method is a known one.
    pub const fn name(self) -> Option<&'static str> {
        table::name(self)
    }
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "{}.{}", self.class, self.method),
        }
    }
}

/// What the struct of each method can do. Sealed: the table alone implements it.
pub trait MethodFrame: sealed::Sealed {
    /// Class and method number.
    const ID: MethodId;
    /// The name, as `queue.declare`.
    const NAME: &'static str;
    /// Whether a content header and body follow the method.
    const CONTENT: bool;

    /// The length of the encoded arguments, in bytes.
    ///
    /// A method must fit one frame: whoever takes arguments from a user compares this, with
    /// [`METHOD_OVERHEAD`], to the negotiated `frame_max` before encoding.
    fn arguments_len(&self) -> usize;

    /// Appends the arguments, without class and method number.
    fn encode_arguments(&self, buf: &mut BytesMut);

    #[doc(hidden)]
    fn write_arguments(&self, out: &mut Writer<'_>);
}

/// What a method's frame has besides the arguments: frame header, class, method, end octet.
pub const METHOD_OVERHEAD: usize = super::FRAME_OVERHEAD + 4;

mod sealed {
    pub trait Sealed {}
}

/// One row of the method table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodSpec {
    /// Class and method number.
    pub id: MethodId,
    /// The name, as `queue.declare`.
    pub name: &'static str,
    /// Whether a content header and body follow.
    pub content: bool,
    /// What may answer it; empty when the method is not synchronous.
    pub responses: &'static [MethodId],
    /// Its fields in the order of the wire, reserved ones included.
    pub fields: &'static [FieldSpec],
}

impl MethodSpec {
    /// Whether the sender waits for an answer (unless it sets `no_wait`).
    pub const fn is_synchronous(&self) -> bool {
        !self.responses.is_empty()
    }
}

/// One field of a method in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldSpec {
    /// Its name in the struct, or `None` for one that the spec reserves.
    pub name: Option<&'static str>,
    /// Its type on the wire.
    pub kind: FieldKind,
}

/// The payload of a method frame could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// Not even class and method number are there.
    #[error("a method frame of {len} bytes: too short for a class and a method number")]
    NoId {
        /// The length of the payload.
        len: usize,
    },
    /// The method is not one of AMQP 0-9-1 with RabbitMQ's extensions.
    #[error("unknown method {0}")]
    Unknown(MethodId),
    /// The payload ends within the arguments, or a length in it claims more than there is.
    #[error(
        "the arguments of {id} end early, or a length in them claims more than the {len} bytes there are"
    )]
    Truncated {
        /// The method.
        id: MethodId,
        /// The length of the payload.
        len: usize,
    },
    /// There are bytes behind the last argument.
    #[error("{extra} bytes behind the arguments of {id}")]
    Trailing {
        /// The method.
        id: MethodId,
        /// How many bytes.
        extra: usize,
    },
}

/// Appends `frame`'s arguments to `buf`: the body of every `encode_arguments`.
fn append_arguments(frame: &impl MethodFrame, buf: &mut BytesMut) {
    let start = buf.len();
    buf.resize(start + frame.arguments_len(), 0);
    if let Some(room) = buf.get_mut(start..) {
        frame.write_arguments(&mut Writer::new(room));
    }
}

impl<'a> Method<'a> {
    /// Appends class number, method number and arguments: the payload of a method frame.
    pub fn encode(&self, buf: &mut BytesMut) {
        let MethodId { class, method } = self.id();
        buf.extend_from_slice(&class.to_be_bytes());
        buf.extend_from_slice(&method.to_be_bytes());
        self.encode_arguments(buf);
    }

    /// Reads the payload of a method frame. Strings and tables are borrowed from it; tables are
    /// not looked into.
    ///
    /// # Errors
    /// [`MethodError`] for an unknown method, and for arguments that end early or late.
    ///
    /// ```
    /// use hopmq::wire::method::{Method, MethodError, basic};
    ///
    /// let ack = Method::decode(&[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 7, 1])?;
    /// assert_eq!(ack, Method::BasicAck(basic::Ack { delivery_tag: 7, multiple: true }));
    /// # Ok::<(), MethodError>(())
    /// ```
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, MethodError> {
        let mut from = Reader::new(payload);
        let (Ok(class), Ok(method)) = (from.u16(), from.u16()) else {
            return Err(MethodError::NoId { len: payload.len() });
        };
        let id = MethodId { class, method };
        match table::read(id, &mut from) {
            Ok(Some(method)) if from.rest().is_empty() => Ok(method),
            Ok(Some(_)) => Err(MethodError::Trailing { id, extra: from.rest().len() }),
            Err(Short) => Err(MethodError::Truncated { id, len: payload.len() }),
            Ok(None) => Err(MethodError::Unknown(id)),
        }
    }
}

/// The length of fields, as the macro measures them.
fn measured(measure: impl FnOnce(&mut Meter)) -> usize {
    let mut meter = Meter::default();
    measure(&mut meter);
    meter.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{RawTable, ShortStr};

    #[test]
    fn bits_are_packed_from_the_lowest() {
        let declare = queue::Declare {
            queue: ShortStr::new("q").unwrap(),
            durable: true,
            no_wait: true,
            arguments: RawTable::new(&[1, b'k', b'V']),
            ..queue::Declare::default()
        };
        let mut buf = BytesMut::new();
        Method::from(declare).encode(&mut buf);
        let expected = [0, 50, 0, 10, 0, 0, 1, b'q', 0b1_0010, 0, 0, 0, 3, 1, b'k', b'V'];
        assert_eq!(buf[..], expected);
        assert_eq!(declare.arguments_len(), expected.len() - 4);
        assert_eq!(Method::decode(&expected), Ok(declare.into()));
    }

    #[test]
    fn reserved_fields_are_skipped_whatever_they_hold() {
        let payload = [0, 10, 0, 40, 1, b'/', 3, b'o', b'l', b'd', 1];
        let open = connection::Open { virtual_host: ShortStr::new("/").unwrap() };
        assert_eq!(Method::decode(&payload), Ok(open.into()));
        let mut buf = BytesMut::new();
        Method::from(open).encode(&mut buf);
        assert_eq!(buf[..], [0, 10, 0, 40, 1, b'/', 0, 0]);
    }

    #[test]
    fn what_is_not_a_method_is_named() {
        assert_eq!(Method::decode(&[0, 50]), Err(MethodError::NoId { len: 2 }));
        let id = MethodId { class: 30, method: 10 };
        assert_eq!(Method::decode(&[0, 30, 0, 10]), Err(MethodError::Unknown(id)));
        let id = connection::Close::ID;
        let lying = [0, 10, 0, 50, 0, 200, 250, b'x'];
        assert_eq!(Method::decode(&lying), Err(MethodError::Truncated { id, len: 8 }));
        let id = tx::Select::ID;
        let longer = Method::decode(&[0, 90, 0, 10, 0]);
        assert_eq!(longer, Err(MethodError::Trailing { id, extra: 1 }));
        assert_eq!(longer.unwrap_err().to_string(), "1 bytes behind the arguments of tx.select");
    }
}
