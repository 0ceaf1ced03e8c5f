//! The values of field tables.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::FieldTable;
use crate::wire::ShortString;

/// A value in a field table or array.
///
/// Floats are compared and hashed by their bits: what was decoded equals what was encoded, NaN
/// included, and tables can be keys.
///
/// ```
/// use hopmq::wire::Value;
///
/// assert_eq!(Value::from(5).as_i64(), Some(5));
/// assert_eq!(Value::U8(5).as_i64(), Some(5));
/// assert_eq!(Value::from("quorum").as_str(), Some("quorum"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A signed 8-bit integer.
    I8(i8),
    /// An unsigned 8-bit integer.
    U8(u8),
    /// A signed 16-bit integer.
    I16(i16),
    /// An unsigned 16-bit integer.
    U16(u16),
    /// A signed 32-bit integer.
    I32(i32),
    /// An unsigned 32-bit integer.
    U32(u32),
    /// A signed 64-bit integer.
    I64(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// `value` divided by ten to the power of `scale`.
    Decimal {
        /// How many decimal digits are behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// Text, by custom; any bytes, by protocol.
    LongString(Bytes),
    /// A sequence of values.
    Array(Vec<Value>),
    /// Seconds since 1970 in UTC.
    Timestamp(u64),
    /// A table within.
    Table(FieldTable),
    /// No value.
    Void,
    /// Bytes that are not text.
    ByteArray(Bytes),
}

impl Value {
    /// The truth value, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is an integer of any width. A timestamp is none.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is an integer of any width and not negative. A timestamp is none.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().and_then(|value| value.try_into().ok())
    }

    /// The number, if it is a float of either width.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is a long string of UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of a long string or byte array.
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::LongString(bytes) | Self::ByteArray(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The seconds since 1970, if it is a timestamp.
    pub const fn as_timestamp(&self) -> Option<u64> {
        match self {
            Self::Timestamp(seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub const fn as_table(&self) -> Option<&FieldTable> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::I8(a), Self::I8(b)) => a == b,
            (Self::U8(a), Self::U8(b)) => a == b,
            (Self::I16(a), Self::I16(b)) => a == b,
            (Self::U16(a), Self::U16(b)) => a == b,
            (Self::I32(a), Self::I32(b)) => a == b,
            (Self::U32(a), Self::U32(b)) => a == b,
            (Self::I64(a), Self::I64(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Decimal { scale: s, value: a }, Self::Decimal { scale: t, value: b }) => {
                (s, a) == (t, b)
            }
            (Self::LongString(a), Self::LongString(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Table(a), Self::Table(b)) => a == b,
            (Self::Void, Self::Void) => true,
            (Self::ByteArray(a), Self::ByteArray(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::I8(value) => value.hash(state),
            Self::U8(value) => value.hash(state),
            Self::I16(value) => value.hash(state),
            Self::U16(value) => value.hash(state),
            Self::I32(value) => value.hash(state),
            Self::U32(value) => value.hash(state),
            Self::I64(value) => value.hash(state),
            Self::F32(value) => value.to_bits().hash(state),
            Self::F64(value) => value.to_bits().hash(state),
            Self::Decimal { scale, value } => (scale, value).hash(state),
            Self::LongString(bytes) | Self::ByteArray(bytes) => bytes.hash(state),
            Self::Array(values) => values.hash(state),
            Self::Timestamp(seconds) => seconds.hash(state),
            Self::Table(table) => table.hash(state),
            Self::Void => {}
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident,)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

// `u64` is left out: no tag of RabbitMQ carries one, and a timestamp is something else.
from! {
    bool => Bool,
    i8 => I8,
    u8 => U8,
    i16 => I16,
    u16 => U16,
    i32 => I32,
    u32 => U32,
    i64 => I64,
    f32 => F32,
    f64 => F64,
    String => LongString,
    Vec<Value> => Array,
    FieldTable => Table,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::LongString(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&ShortString> for Value {
    fn from(text: &ShortString) -> Self {
        text.as_str().into()
    }
}

impl From<ShortString> for Value {
    fn from(text: ShortString) -> Self {
        text.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_widens() {
        let ones = [
            Value::I8(1),
            Value::U8(1),
            Value::I16(1),
            Value::U16(1),
            Value::I32(1),
            Value::U32(1),
            Value::I64(1),
        ];
        assert!(ones.iter().all(|one| one.as_i64() == Some(1) && one.as_u64() == Some(1)));
        assert_eq!(Value::I8(-1).as_u64(), None);
        assert_eq!(Value::Timestamp(1).as_i64(), None);
        assert_eq!(Value::F32(0.5).as_f64(), Some(0.5));
    }

    #[test]
    fn floats_are_equal_by_their_bits() {
        assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
        assert_ne!(Value::F64(0.0), Value::F64(-0.0));
        assert_ne!(Value::I32(1), Value::I64(1));
    }
}
