//! Tables that the user builds or that were decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Value, tag};
use crate::wire::octets::expressible;
use crate::wire::{NameTooLong, ShortString};

/// A field table: names and values, in the order of their insertion.
///
/// ```
/// use hopmq::wire::{FieldTable, RawTable};
///
/// let arguments = FieldTable::new().with("x-queue-type", "quorum")?.with("x-delivery-limit", 5)?;
/// let content = arguments.encode();
/// assert_eq!(RawTable::new(&content).decode().as_ref(), Ok(&arguments));
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldTable {
    entries: Vec<(ShortString, Value)>,
}

impl FieldTable {
    /// An empty table.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Puts `value` under `name`, and gives back what was there before.
    ///
    /// # Errors
    /// [`NameTooLong`] when the name has more than 255 bytes.
    pub fn insert(
        &mut self,
        name: impl AsRef<str> + Into<Arc<str>>,
        value: impl Into<Value>,
    ) -> Result<Option<Value>, NameTooLong> {
        let name = ShortString::new(name)?;
        let value = value.into();
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => Ok(Some(std::mem::replace(old, value))),
            None => {
                self.entries.push((name, value));
                Ok(None)
            }
        }
    }

    /// The same table with `value` under `name`, for building in one expression.
    ///
    /// # Errors
    /// [`NameTooLong`] when the name has more than 255 bytes.
    pub fn with(
        mut self,
        name: impl AsRef<str> + Into<Arc<str>>,
        value: impl Into<Value>,
    ) -> Result<Self, NameTooLong> {
        self.insert(name, value)?;
        Ok(self)
    }

    /// The value under `name`. Should a peer have sent the name twice: the first.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// Takes the value under `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.entries.iter().position(|(known, _)| known.as_str() == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ShortString, &Value)> + Clone {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The table on the wire, without the length in front: what a
    /// [`RawTable`](super::RawTable) holds.
    ///
    /// The encoded entries of two tables, one behind the other, are again a table.
    pub fn encode(&self) -> Bytes {
        let mut buf = BytesMut::new();
        encode(self, &mut buf);
        buf.freeze()
    }

    /// Appends an entry as it came: peers may send a name twice.
    pub(super) fn push(&mut self, name: ShortString, value: Value) {
        self.entries.push((name, value));
    }
}

/// Gathers entries; of those with the same name the last stays, in the place of the first.
impl FromIterator<(ShortString, Value)> for FieldTable {
    fn from_iter<I: IntoIterator<Item = (ShortString, Value)>>(entries: I) -> Self {
        let mut gathered: Vec<(ShortString, Value)> = Vec::new();
        let mut places = BTreeMap::new();
        for (name, value) in entries {
            let place = *places.entry(name.clone()).or_insert(gathered.len());
            match gathered.get_mut(place) {
                Some((_, old)) => *old = value,
                None => gathered.push((name, value)),
            }
        }
        Self { entries: gathered }
    }
}

impl IntoIterator for FieldTable {
    type Item = (ShortString, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// A table or array that is being written.
struct Open<'a> {
    left: Left<'a>,
    /// Where its content starts; its length is written in front of that at the end. The
    /// outermost table's length is not ours to write.
    start: Option<usize>,
}

enum Left<'a> {
    Table(std::slice::Iter<'a, (ShortString, Value)>),
    Array(std::slice::Iter<'a, Value>),
}

/// Writes the content of `table`, without recursion: how deep it is, is the user's choice.
fn encode(table: &FieldTable, buf: &mut BytesMut) {
    let mut stack = vec![Open { left: Left::Table(table.entries.iter()), start: None }];
    while let Some(open) = stack.last_mut() {
        let value = match &mut open.left {
            Left::Table(entries) => entries.next().map(|(name, value)| {
                let name = name.as_short();
                // At most 255 by construction: nothing is cut.
                buf.put_u8(name.len() as u8);
                buf.put_slice(name.as_bytes());
                value
            }),
            Left::Array(values) => values.next(),
        };
        match value {
            Some(value) => stack.extend(encode_value(value, buf)),
            None => {
                close(open.start, buf);
                stack.pop();
            }
        }
    }
}

/// Writes the length in front of a table or array that is complete.
fn close(start: Option<usize>, buf: &mut BytesMut) {
    let Some(start) = start else { return };
    let len = u32::try_from(buf.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = buf.get_mut(start - 4..start) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Writes a value with its tag; of a table or array only the beginning, the rest is to follow.
fn encode_value<'a>(value: &'a Value, buf: &mut BytesMut) -> Option<Open<'a>> {
    match value {
        Value::Bool(value) => buf.put_slice(&[tag::BOOL, u8::from(*value)]),
        Value::I8(value) => tagged(buf, tag::I8, &value.to_be_bytes()),
        Value::U8(value) => tagged(buf, tag::U8, &value.to_be_bytes()),
        Value::I16(value) => tagged(buf, tag::I16, &value.to_be_bytes()),
        Value::U16(value) => tagged(buf, tag::U16, &value.to_be_bytes()),
        Value::I32(value) => tagged(buf, tag::I32, &value.to_be_bytes()),
        Value::U32(value) => tagged(buf, tag::U32, &value.to_be_bytes()),
        Value::I64(value) => tagged(buf, tag::I64, &value.to_be_bytes()),
        Value::F32(value) => tagged(buf, tag::F32, &value.to_be_bytes()),
        Value::F64(value) => tagged(buf, tag::F64, &value.to_be_bytes()),
        Value::Decimal { scale, value } => {
            buf.put_slice(&[tag::DECIMAL, *scale]);
            buf.put_u32(*value);
        }
        Value::LongString(bytes) => long(buf, tag::LONG_STRING, bytes),
        Value::Timestamp(seconds) => tagged(buf, tag::TIMESTAMP, &seconds.to_be_bytes()),
        Value::Void => buf.put_u8(tag::VOID),
        Value::ByteArray(bytes) => long(buf, tag::BYTE_ARRAY, bytes),
        Value::Array(values) => {
            tagged(buf, tag::ARRAY, &[0; 4]);
            return Some(Open { left: Left::Array(values.iter()), start: Some(buf.len()) });
        }
        Value::Table(table) => {
            tagged(buf, tag::TABLE, &[0; 4]);
            return Some(Open { left: Left::Table(table.entries.iter()), start: Some(buf.len()) });
        }
    }
    None
}

fn tagged(buf: &mut BytesMut, tag: u8, bytes: &[u8]) {
    buf.put_u8(tag);
    buf.put_slice(bytes);
}

fn long(buf: &mut BytesMut, tag: u8, bytes: &[u8]) {
    let bytes = expressible(bytes);
    tagged(buf, tag, &(bytes.len() as u32).to_be_bytes());
    buf.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_value_and_keeps_its_place() {
        let mut table = FieldTable::new().with("a", 1).unwrap().with("b", 2).unwrap();
        assert_eq!(table.insert("a", "new"), Ok(Some(Value::I32(1))));
        let names: Vec<_> = table.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(table.remove("a").unwrap().as_str(), Some("new"));
        assert_eq!((table.len(), table.get("a")), (1, None));
        assert_eq!(table.insert("x".repeat(256), 1), Err(NameTooLong { len: 256 }));
        let short = |name| ShortString::new(name).unwrap();
        let gathered: FieldTable =
            [(short("a"), 1.into()), (short("b"), 2.into()), (short("a"), 3.into())]
                .into_iter()
                .collect();
        assert_eq!(gathered, FieldTable::new().with("a", 3).unwrap().with("b", 2).unwrap());
    }

    #[test]
    fn the_content_is_what_rabbitmq_writes() {
        let inner = FieldTable::new().with("n", Value::Void).unwrap();
        let table = FieldTable::new()
            .with("t", true)
            .unwrap()
            .with("A", vec![Value::U8(7), inner.into()])
            .unwrap()
            .with("S", "hi")
            .unwrap();
        let expected = b"\x01tt\x01\x01AA\0\0\0\x0aB\x07F\0\0\0\x03\x01nV\x01SS\0\0\0\x02hi";
        assert_eq!(table.encode()[..], expected[..]);
    }

    #[test]
    fn encoding_a_deep_table_does_not_recurse() {
        let mut value = Value::Void;
        for _ in 0..2000 {
            value = Value::Array(vec![value]);
        }
        let table = FieldTable::new().with("deep", value).unwrap();
        assert_eq!(table.encode().len(), 5 + 2000 * 5 + 1);
    }
}
