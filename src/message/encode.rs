//! The property list of a message on the wire (AMQP 0-9-1, 4.2.6.1).

use bytes::{Bytes, BytesMut};

use super::{Message, Persistence};
use crate::{
    proto::SEQUENCE_HEADER,
    usage::UsageError,
    wire::{Properties, RawTable, properties::RawProperties},
};

/// An encoded property list.
#[derive(Clone, Debug)]
pub(crate) struct EncodedProperties {
    list: Bytes,
    sequence_at: Option<usize>,
}

/// The sequence header as an entry of a table: its name, the tag of a 64-bit integer, the value.
const SEQUENCE_ENTRY: usize = 1 + SEQUENCE_HEADER.len() + 1 + 8;

/// Flags of the property list: bits 13 and 12.
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;

/// The lists of messages without more, by delivery mode.
static PLAIN: [u8; 2] = [0, 0];
static TRANSIENT: [u8; 3] = with_mode(1);
static PERSISTENT: [u8; 3] = with_mode(2);

/// The same with a table that holds the sequence header alone; its value is zero.
static SEQUENCE: [u8; WITH_TABLE] = with_sequence(HEADERS, 0);
static SEQUENCE_TRANSIENT: [u8; WITH_TABLE + 1] = with_sequence(HEADERS | DELIVERY_MODE, 1);
static SEQUENCE_PERSISTENT: [u8; WITH_TABLE + 1] = with_sequence(HEADERS | DELIVERY_MODE, 2);

/// Flags and such a table.
const WITH_TABLE: usize = 2 + 4 + SEQUENCE_ENTRY;

const fn with_mode(mode: u8) -> [u8; 3] {
    let [high, low] = DELIVERY_MODE.to_be_bytes();
    [high, low, mode]
}

/// Evaluated when this is compiled, so an index out of bounds cannot get into a program.
#[allow(clippy::indexing_slicing)]
const fn with_sequence<const LEN: usize>(flags: u16, mode: u8) -> [u8; LEN] {
    let mut list = [0; LEN];
    [list[0], list[1]] = flags.to_be_bytes();
    list[5] = SEQUENCE_ENTRY as u8;
    list[6] = SEQUENCE_HEADER.len() as u8;
    let name = SEQUENCE_HEADER.as_bytes();
    let mut at = 0;
    while at < name.len() {
        list[7 + at] = name[at];
        at += 1;
    }
    list[7 + at] = b'l';
    if LEN > WITH_TABLE {
        list[WITH_TABLE] = mode;
    }
    list
}

impl EncodedProperties {
    /// The list, flags first, and where in it the eight bytes of the sequence header's value are.
    pub(crate) fn parts(&self) -> (&[u8], Option<usize>) {
        (&self.list, self.sequence_at)
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
            None => {
                let (list, sequence_at) = self.constant(with_sequence);
                Ok(EncodedProperties { list: Bytes::from_static(list), sequence_at })
            }
            Some(more) => match &more.problem {
                None => Ok(self.encoded_heap(&more.properties, with_sequence)),
                Some(problem) => Err(problem.clone()),
            },
        }
    }

    /// The parts of [`encoded`](Self::encoded) where these are constants: nothing is allocated or put
    /// together for a message without properties of its own, mandatory or not.
    #[inline]
    pub(crate) fn frequent(&self, with_sequence: bool) -> Option<(&'static [u8], Option<usize>)> {
        self.more.is_none().then(|| self.constant(with_sequence))
    }

    #[inline]
    fn constant(&self, with_sequence: bool) -> (&'static [u8], Option<usize>) {
        let list: &'static [u8] = match (self.persistence, with_sequence) {
            (Persistence::Unsaid, false) => &PLAIN,
            (Persistence::Transient, false) => &TRANSIENT,
            (Persistence::Persistent, false) => &PERSISTENT,
            (Persistence::Unsaid, true) => &SEQUENCE,
            (Persistence::Transient, true) => &SEQUENCE_TRANSIENT,
            (Persistence::Persistent, true) => &SEQUENCE_PERSISTENT,
        };
        (list, with_sequence.then_some(WITH_TABLE - 8))
    }

    fn encoded_heap(&self, properties: &Properties, with_sequence: bool) -> EncodedProperties {
        let mut table = BytesMut::new();
        let headers = self.merged_headers();
        if let Some(headers) = &headers {
            table.extend_from_slice(headers.as_bytes());
        }
        if with_sequence {
            table
                .extend_from_slice(SEQUENCE.get(WITH_TABLE - SEQUENCE_ENTRY..).unwrap_or_default());
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
        EncodedProperties { list: list.freeze(), sequence_at }
    }
}

fn short_len(text: &crate::wire::ShortString) -> usize {
    1 + text.as_str().len()
}
