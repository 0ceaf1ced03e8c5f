//! Tables as peers sent them, and their decoding: iterative and bounded.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{FieldTable, Value, tag};
use crate::wire::octets::{Reader, Short};
use crate::wire::{ShortStr, ShortString};

/// How many tables and arrays may be within each other by default, the outermost counted.
pub const TABLE_DEPTH_MAX: usize = 32;

/// How many entries and array elements a decoded table may have by default, over all its levels.
pub const TABLE_ENTRIES_MAX: usize = 16_384;

/// How much of a table is decoded.
///
/// ```
/// use hopmq::wire::{FieldTable, RawTable, TableError, TableLimits};
///
/// let table = FieldTable::new().with("a", 1)?.with("b", 2)?.encode();
/// let one = TableLimits { entries: 1, ..TableLimits::default() };
/// assert_eq!(RawTable::new(&table).decode_within(one), Err(TableError::TooManyEntries { max: 1 }));
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableLimits {
    /// How many tables and arrays may be within each other, the outermost counted.
    pub depth: u8,
    /// How many entries and array elements there may be, over all levels. An element of one byte
    /// takes some forty decoded: the bound keeps that factor from being of use to a peer.
    pub entries: u32,
}

impl Default for TableLimits {
    /// [`TABLE_DEPTH_MAX`] and [`TABLE_ENTRIES_MAX`].
    fn default() -> Self {
        Self { depth: TABLE_DEPTH_MAX as u8, entries: TABLE_ENTRIES_MAX as u32 }
    }
}

/// A field table cannot be decoded. The message or method that carries it is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The table ends within an entry, or a length in it claims more than there is.
    #[error("the table ends within the entry at byte {at}, or a length there claims too much")]
    Truncated {
        /// Where the entry starts, in the content of the outermost table.
        at: usize,
    },
    /// A type tag that RabbitMQ does not know.
    #[error("unknown type tag {tag:#04x} in the table's entry at byte {at}")]
    UnknownTag {
        /// The tag.
        tag: u8,
        /// Where the entry starts, in the content of the outermost table.
        at: usize,
    },
    /// More tables and arrays within each other than [`TableLimits::depth`].
    #[error("the table is nested more than {max} deep")]
    TooDeep {
        /// The limit.
        max: u8,
    },
    /// More entries than [`TableLimits::entries`].
    #[error("the table has more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: u32,
    },
}

/// A field table as it is on the wire, without the length in front: borrowed and not looked into.
///
/// ```
/// use hopmq::wire::{RawTable, TableError};
///
/// let table = RawTable::new(b"\x01nI\0\0\0\x07\x01s?");
/// assert_eq!(table.get("n")?.and_then(|n| n.as_i64()), Some(7));
/// assert_eq!(table.decode(), Err(TableError::UnknownTag { tag: b'?', at: 7 }));
/// # Ok::<(), TableError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RawTable<'a>(&'a [u8]);

impl<'a> RawTable<'a> {
    /// The table without entries.
    pub const EMPTY: RawTable<'static> = RawTable(&[]);

    /// Takes `content` for a table's content; whether it is one shows when it is decoded.
    #[inline]
    pub const fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The content: the entries, without the length in front.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether it has no entries.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Decodes all of it. Names that are not UTF-8 are kept with replacement characters.
    ///
    /// # Errors
    /// [`TableError`] when the content is no table, or exceeds the bounds.
    pub fn decode(self) -> Result<FieldTable, TableError> {
        self.decode_within(TableLimits::default())
    }

    /// Decodes all of it, if it keeps within these limits.
    ///
    /// # Errors
    /// [`TableError`] when the content is no table, or exceeds the limits.
    pub fn decode_within(self, limits: TableLimits) -> Result<FieldTable, TableError> {
        let whole = RawValue { tag: tag::TABLE, content: self.0, end: self.0.len() };
        match decode(whole, 0, limits)? {
            Value::Table(table) => Ok(table),
            // The outermost container is of the kind asked for.
            _ => Ok(FieldTable::new()),
        }
    }

    /// Decodes the value under `name` and skips the others.
    ///
    /// # Errors
    /// [`TableError`] when an entry before it, or its value, cannot be decoded.
    pub fn get(self, name: &str) -> Result<Option<Value>, TableError> {
        self.get_within(name, TableLimits::default())
    }

    /// Decodes the value under `name`, if it keeps within these limits, and skips the others.
    ///
    /// # Errors
    /// [`TableError`] when an entry before it, or its value, cannot be decoded.
    pub fn get_within(self, name: &str, limits: TableLimits) -> Result<Option<Value>, TableError> {
        match self.find(name)? {
            Some((_, value)) => value.decode_within(limits).map(Some),
            None => Ok(None),
        }
    }

    /// Where in the content the entry of `name` is, name and value: what is to be cut out to
    /// remove it.
    ///
    /// # Errors
    /// [`TableError`] when an entry before it cannot be skipped.
    pub fn entry_range(self, name: &str) -> Result<Option<Range<usize>>, TableError> {
        Ok(self.find(name)?.map(|(range, _)| range))
    }

    /// The entries of the outermost level, values not decoded.
    #[inline]
    pub fn entries(self) -> RawEntries<'a> {
        RawEntries { from: Reader::new(self.0), len: self.0.len() }
    }

    fn find(self, name: &str) -> Result<Option<(Range<usize>, RawValue<'a>)>, TableError> {
        let mut entries = self.entries();
        loop {
            let start = entries.at();
            match entries.next() {
                Some(Ok((found, value))) if found == name => {
                    return Ok(Some((start..entries.at(), value)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(None),
            }
        }
    }
}

/// Shows the entries if they can be decoded, else the bytes.
impl fmt::Debug for RawTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode() {
            Ok(table) => f.debug_map().entries(table.iter()).finish(),
            Err(error) => write!(f, "RawTable({} bytes: {error})", self.0.len()),
        }
    }
}

/// The entries of a [`RawTable`]'s outermost level; ends behind the first error.
#[derive(Clone, Debug)]
pub struct RawEntries<'a> {
    from: Reader<'a>,
    len: usize,
}

impl RawEntries<'_> {
    fn at(&self) -> usize {
        self.len - self.from.rest().len()
    }
}

impl<'a> Iterator for RawEntries<'a> {
    type Item = Result<(ShortStr<'a>, RawValue<'a>), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.from.rest().is_empty() {
            return None;
        }
        let at = self.at();
        let entry = match self.from.short_str() {
            Ok(name) => element(&mut self.from, at, self.len).map(|value| (name, value)),
            Err(Short) => Err(TableError::Truncated { at }),
        };
        if entry.is_err() {
            self.from = Reader::new(&[]);
        }
        Some(entry)
    }
}

/// A value of a [`RawTable`], not yet decoded.
#[derive(Clone, Copy, Debug)]
pub struct RawValue<'a> {
    tag: u8,
    /// The encoded value, without tag and length.
    content: &'a [u8],
    /// Where it ends, in the content of the outermost table: errors name positions there.
    end: usize,
}

impl RawValue<'_> {
    /// Decodes it.
    ///
    /// # Errors
    /// [`TableError`] when it is a table or array that cannot be decoded.
    pub fn decode(self) -> Result<Value, TableError> {
        self.decode_within(TableLimits::default())
    }

    fn decode_within(self, limits: TableLimits) -> Result<Value, TableError> {
        match scalar(self.tag, self.content) {
            Some(value) => Ok(value),
            None => decode(self, 1, limits),
        }
    }
}

/// Reads tag, length and content of one value in the entry at `at`, of a table or array that ends
/// at `end`. The content of tables and arrays is not looked at.
fn element<'a>(from: &mut Reader<'a>, at: usize, end: usize) -> Result<RawValue<'a>, TableError> {
    let truncated = |Short| TableError::Truncated { at };
    let tag = from.u8().map_err(truncated)?;
    let content = match tag {
        tag::VOID => from.take(0),
        tag::BOOL | tag::I8 | tag::U8 => from.take(1),
        tag::I16 | tag::U16 => from.take(2),
        tag::I32 | tag::U32 | tag::F32 => from.take(4),
        tag::DECIMAL => from.take(5),
        tag::I64 | tag::F64 | tag::TIMESTAMP => from.take(8),
        tag::LONG_STRING | tag::BYTE_ARRAY | tag::ARRAY | tag::TABLE => from.long_str(),
        _ => return Err(TableError::UnknownTag { tag, at }),
    };
    Ok(RawValue { tag, content: content.map_err(truncated)?, end: end - from.rest().len() })
}

/// A value that holds no others; `None` for tables and arrays.
fn scalar(tag: u8, content: &[u8]) -> Option<Value> {
    let mut from = Reader::new(content);
    let mut read = || -> Result<Option<Value>, Short> {
        Ok(Some(match tag {
            tag::VOID => Value::Void,
            tag::BOOL => Value::Bool(from.u8()? != 0),
            tag::I8 => Value::I8(i8::from_be_bytes(from.array()?)),
            tag::U8 => Value::U8(from.u8()?),
            tag::I16 => Value::I16(i16::from_be_bytes(from.array()?)),
            tag::U16 => Value::U16(from.u16()?),
            tag::I32 => Value::I32(i32::from_be_bytes(from.array()?)),
            tag::U32 => Value::U32(from.u32()?),
            tag::I64 => Value::I64(i64::from_be_bytes(from.array()?)),
            tag::F32 => Value::F32(f32::from_be_bytes(from.array()?)),
            tag::F64 => Value::F64(f64::from_be_bytes(from.array()?)),
            tag::DECIMAL => Value::Decimal { scale: from.u8()?, value: from.u32()? },
            tag::TIMESTAMP => Value::Timestamp(from.u64()?),
            // Copied: a value may be kept long, and should not keep a whole block with it.
            tag::LONG_STRING => Value::LongString(Bytes::copy_from_slice(content)),
            tag::BYTE_ARRAY => Value::ByteArray(Bytes::copy_from_slice(content)),
            _ => return Ok(None),
        }))
    };
    // `element` has measured the content by its tag, so that it cannot be short.
    read().ok().flatten()
}

/// A table or array that is being decoded.
struct Open<'a> {
    from: Reader<'a>,
    /// Where its content ends, in the content of the outermost table.
    end: usize,
    /// Its name in the table around it.
    name: ShortStr<'a>,
    gathered: Gathered,
}

enum Gathered {
    Table(FieldTable),
    Array(Vec<Value>),
}

impl<'a> Open<'a> {
    fn new(name: ShortStr<'a>, value: RawValue<'a>) -> Self {
        let RawValue { tag, content, end } = value;
        let gathered = match tag {
            tag::ARRAY => Gathered::Array(Vec::new()),
            _ => Gathered::Table(FieldTable::new()),
        };
        Self { from: Reader::new(content), end, name, gathered }
    }

    fn at(&self) -> usize {
        self.end - self.from.rest().len()
    }

    fn push(&mut self, name: ShortStr<'_>, value: Value) {
        match &mut self.gathered {
            Gathered::Table(table) => table.push(ShortString::from_short_lossy(name), value),
            Gathered::Array(values) => values.push(value),
        }
    }

    fn into_value(self) -> Value {
        match self.gathered {
            Gathered::Table(table) => Value::Table(table),
            Gathered::Array(values) => Value::Array(values),
        }
    }
}

/// Decodes a table or array that is within `around` others, with a stack of its own, which the
/// depth limit bounds: a peer's nesting must not become ours.
fn decode(value: RawValue<'_>, around: usize, limits: TableLimits) -> Result<Value, TableError> {
    let TableLimits { depth, entries: most } = limits;
    if around >= usize::from(depth) {
        return Err(TableError::TooDeep { max: depth });
    }
    let mut outer: Vec<Open<'_>> = Vec::new();
    let mut open = Open::new(ShortStr::empty(), value);
    let mut entries = 0_u32;
    loop {
        if open.from.rest().is_empty() {
            let name = open.name;
            let value = open.into_value();
            match outer.pop() {
                Some(around) => open = around,
                None => return Ok(value),
            }
            open.push(name, value);
            continue;
        }
        entries += 1;
        if entries > most {
            return Err(TableError::TooManyEntries { max: most });
        }
        let at = open.at();
        let name = match open.gathered {
            Gathered::Table(_) => {
                open.from.short_str().map_err(|Short| TableError::Truncated { at })?
            }
            Gathered::Array(_) => ShortStr::empty(),
        };
        let value = element(&mut open.from, at, open.end)?;
        if let Some(value) = scalar(value.tag, value.content) {
            open.push(name, value);
        } else if around + outer.len() + 1 < usize::from(depth) {
            outer.push(std::mem::replace(&mut open, Open::new(name, value)));
        } else {
            return Err(TableError::TooDeep { max: depth });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of a table with `depth` tables and arrays, itself counted.
    fn nested(depth: usize) -> Vec<u8> {
        let mut lengths = Vec::new();
        let mut len = 0;
        for level in 1..depth {
            lengths.push(len as u32);
            // A table's entry has a name in front, an array's has none.
            len += if (depth - level) % 2 == 1 { 6 } else { 5 };
        }
        let mut content = Vec::new();
        for (level, len) in lengths.into_iter().rev().enumerate() {
            let (within_table, tag) = (level % 2 == 0, if level % 2 == 0 { b'A' } else { b'F' });
            content.extend(within_table.then_some(0));
            content.push(tag);
            content.extend(len.to_be_bytes());
        }
        content
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let deepest = nested(TABLE_DEPTH_MAX);
        assert!(RawTable::new(&deepest).decode().is_ok());
        for depth in [TABLE_DEPTH_MAX + 1, 15_000, 1_000_000] {
            let content = nested(depth);
            let too_deep = TableError::TooDeep { max: 32 };
            assert_eq!(RawTable::new(&content).decode(), Err(too_deep));
            assert_eq!(RawTable::new(&content).get(""), Err(too_deep));
            assert_eq!(RawTable::new(&content).get("x"), Ok(None), "skipping needs no depth");
        }
    }

    #[test]
    fn entries_are_bounded() {
        let many = |count: usize| {
            let mut content = b"\x00A".to_vec();
            content.extend((count as u32 - 1).to_be_bytes());
            content.resize(content.len() + count - 1, b'V');
            content
        };
        assert!(RawTable::new(&many(TABLE_ENTRIES_MAX)).decode().is_ok());
        let error = RawTable::new(&many(TABLE_ENTRIES_MAX + 1)).decode();
        assert_eq!(error, Err(TableError::TooManyEntries { max: 16_384 }));
    }

    #[test]
    fn both_bounds_can_be_set() {
        let limits = TableLimits { depth: 255, entries: 300 };
        let content = nested(255);
        assert!(RawTable::new(&content).decode().is_err());
        assert!(RawTable::new(&content).decode_within(limits).is_ok());
        let error = RawTable::new(&nested(256)).decode_within(limits);
        assert_eq!(error, Err(TableError::TooDeep { max: 255 }));
        let error = RawTable::new(&content).decode_within(TableLimits { depth: 255, entries: 99 });
        assert_eq!(error, Err(TableError::TooManyEntries { max: 99 }));
        let flat = TableLimits { depth: 1, entries: 1 };
        assert_eq!(
            RawTable::new(b"\x01nt\x01").decode_within(flat).map(|table| table.len()),
            Ok(1)
        );
        let error = RawTable::new(&nested(2)).get_within("", flat);
        assert_eq!(error, Err(TableError::TooDeep { max: 1 }));
    }

    #[test]
    fn lying_lengths_are_found_where_they_are() {
        let content = b"\x01aV\x01sS\xff\xff\xff\xff";
        let table = RawTable::new(content);
        assert_eq!(table.decode(), Err(TableError::Truncated { at: 3 }));
        assert_eq!(table.get("a"), Ok(Some(Value::Void)));
        assert_eq!(table.get("s"), Err(TableError::Truncated { at: 3 }));
        // A lie within a table within.
        let content = b"\x01tF\0\0\0\x07\x01sS\0\0\0\x01";
        assert_eq!(RawTable::new(content).decode(), Err(TableError::Truncated { at: 7 }));
        assert_eq!(RawTable::new(&[200]).decode(), Err(TableError::Truncated { at: 0 }));
    }

    #[test]
    fn an_entry_can_be_cut_out() {
        let table = FieldTable::new().with("a", 1).unwrap().with("seq", 2i64).unwrap();
        let content = table.with("z", 3).unwrap().encode();
        let range = RawTable::new(&content).entry_range("seq").unwrap().unwrap();
        let cut = [&content[..range.start], &content[range.end..]].concat();
        let names: Vec<_> =
            RawTable::new(&cut).entries().map(|entry| entry.unwrap().0.to_string()).collect();
        assert_eq!(names, ["a", "z"]);
    }
}
