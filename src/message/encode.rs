//! The property list of a message on the wire (AMQP 0-9-1, 4.2.6.1).

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::{
    proto::SEQUENCE_HEADER,
    usage::UsageError,
    wire::{FieldTable, Properties, RawTable, properties::RawProperties},
};

/// An encoded property list. The frequent ones fit in place: nothing is allocated for a message
/// without properties of its own, mandatory or not.
#[derive(Clone, Debug)]
pub(crate) struct EncodedProperties {
    pub(super) list: List,
    sequence_at: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum List {
    Inline { bytes: [u8; INLINE], len: u8 },
    Heap(Bytes),
}

/// Flags, a table with the sequence header, and the delivery mode.
const INLINE: usize = 2 + 4 + SEQUENCE_ENTRY + 1;

/// The sequence header as an entry of a table: its name, the tag of a 64-bit integer, the value.
const SEQUENCE_ENTRY: usize = 1 + SEQUENCE_HEADER.len() + 1 + 8;

/// Flags of the property list: bits 13 and 12.
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;

impl EncodedProperties {
    /// The list, flags first.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.list {
            List::Inline { bytes, len } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            List::Heap(bytes) => bytes,
        }
    }

    /// Where in the list the eight bytes of the sequence header's value are.
    pub(crate) fn sequence_at(&self) -> Option<usize> {
        self.sequence_at
    }
}

impl Message {
    /// The property list; with the private header by which a return finds its publish, if asked
    /// for: its value is zero here and filled in when the publish gets its number.
    ///
    /// # Errors
    /// The first value that was set and that AMQP cannot carry.
    pub(crate) fn encoded(&self, with_sequence: bool) -> Result<EncodedProperties, UsageError> {
        match &self.more {
            None => Ok(self.encoded_inline(with_sequence)),
            Some(more) => match &more.problem {
                None => Ok(self.encoded_heap(&more.properties, with_sequence)),
                Some(problem) => Err(problem.clone()),
            },
        }
    }

    fn encoded_inline(&self, with_sequence: bool) -> EncodedProperties {
        let mode = self.persistence.mode();
        let mut out = Inline { bytes: [0; INLINE], len: 0 };
        let flags = if with_sequence { HEADERS } else { 0 }
            | if mode.is_some() { DELIVERY_MODE } else { 0 };
        out.put(&flags.to_be_bytes());
        let mut sequence_at = None;
        if with_sequence {
            out.put(&(SEQUENCE_ENTRY as u32).to_be_bytes());
            out.put(&[SEQUENCE_HEADER.len() as u8]);
            out.put(SEQUENCE_HEADER.as_bytes());
            out.put(b"l");
            sequence_at = Some(usize::from(out.len));
            out.put(&[0; 8]);
        }
        if let Some(mode) = mode {
            out.put(&[mode]);
        }
        EncodedProperties { list: List::Inline { bytes: out.bytes, len: out.len }, sequence_at }
    }

    fn encoded_heap(&self, properties: &Properties, with_sequence: bool) -> EncodedProperties {
        let mut table = BytesMut::new();
        let headers = self.merged_headers();
        if let Some(headers) = &headers {
            table.extend_from_slice(headers.as_bytes());
        }
        if with_sequence {
            table.extend_from_slice(&sequence_entry());
        }
        let raw = RawProperties {
            headers: (headers.is_some() || with_sequence).then(|| RawTable::new(&table)),
            delivery_mode: self.persistence.mode(),
            ..properties.as_raw()
        };
        let mut list = BytesMut::with_capacity(raw.encoded_len());
        raw.encode(&mut list);
        // Before the table: the flags and two strings. Its last entry ends with the value.
        let before = |text: &Option<_>| text.as_ref().map_or(0, short_len);
        let table_at = 2 + before(&properties.content_type) + before(&properties.content_encoding);
        let sequence_at = with_sequence.then(|| table_at + 4 + table.len() - 8);
        EncodedProperties { list: List::Heap(list.freeze()), sequence_at }
    }
}

fn short_len(text: &crate::wire::ShortString) -> usize {
    1 + text.as_str().len()
}

/// The header as a table of one entry, which can go behind the entries of another.
fn sequence_entry() -> Bytes {
    let mut table = FieldTable::new();
    // The name is a short literal.
    let _ = table.insert(SEQUENCE_HEADER, 0i64);
    table.encode()
}

/// A buffer in place; what does not fit is cut, and by its size everything fits.
struct Inline {
    bytes: [u8; INLINE],
    len: u8,
}

impl Inline {
    fn put(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        if let Some(place) = self.bytes.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }
}
