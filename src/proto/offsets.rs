//! How far a stream was processed, so that its consumer reads on behind that after a cut.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Content, Missed};
use crate::wire::{FieldTable, RawTable, Value};

/// The argument of basic.consume, and the header of a delivery
/// (<https://www.rabbitmq.com/docs/streams#consuming>).
const OFFSET: &str = "x-stream-offset";

/// The deliveries of one stream consumer that are not settled, and the offset to resume at: that of
/// the first which is not settled, else the one behind the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets {
    next: Option<u64>,
    /// In the order of their tags, from the first that is not settled on.
    owed: VecDeque<Owed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owed {
    tag: u64,
    offset: u64,
    settled: bool,
}

impl Offsets {
    /// A delivery arrived.
    pub fn delivered(&mut self, tag: u64, content: &Content) {
        let headers = content.properties().headers;
        let value = headers.and_then(|headers| headers.get(OFFSET).ok().flatten());
        if let Some(offset) = value.and_then(|value| value.as_u64()) {
            self.next.get_or_insert(offset);
            self.owed.push_back(Owed { tag, offset, settled: false });
        }
    }

    /// A delivery was settled, in whatever way: a stream takes nothing back.
    pub fn settled(&mut self, tag: u64) {
        let Ok(at) = self.owed.binary_search_by_key(&tag, |owed| owed.tag) else { return };
        if let Some(owed) = self.owed.get_mut(at) {
            owed.settled = true;
        }
        while let Some(Owed { offset, settled: true, .. }) = self.owed.front().copied() {
            self.owed.pop_front();
            self.next = Some(self.owed.front().map_or(offset + 1, |owed| owed.offset));
        }
    }

    /// The connection is lost: what is not settled comes again.
    pub fn interrupt(&mut self) {
        self.owed.clear();
    }

    /// Where to read on; nothing before the first delivery.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The arguments of basic.consume to read on with.
    pub fn resume(&self, arguments: &Bytes) -> Bytes {
        let Some(next) = self.next.and_then(|next| i64::try_from(next).ok()) else {
            return arguments.clone();
        };
        let mut table = RawTable::new(arguments).decode().unwrap_or_default();
        match table.insert(OFFSET, Value::I64(next)) {
            Ok(_) => table.encode(),
            Err(_) => arguments.clone(),
        }
    }

    /// Whether reading on with these arguments may skip something.
    pub fn missed(&self, arguments: &Bytes) -> Missed {
        if self.next.is_some() {
            return Missed::Nothing;
        }
        let table: FieldTable = RawTable::new(arguments).decode().unwrap_or_default();
        match table.get(OFFSET) {
            Some(Value::LongString(word)) if word.as_ref() == b"first" => Missed::Nothing,
            // `next`, `last`, or a time counted from when it is asked for.
            None | Some(Value::LongString(_)) => Missed::Offset,
            Some(_) => Missed::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(owed: &[(u64, u64)]) -> Offsets {
        let owed: VecDeque<Owed> = owed
            .iter()
            .map(|(tag, offset)| Owed { tag: *tag, offset: *offset, settled: false })
            .collect();
        Offsets { next: owed.front().map(|first| first.offset), owed }
    }

    #[test]
    fn reading_goes_on_behind_the_last_that_was_settled() {
        let mut offsets = offsets(&[(1, 40), (2, 41)]);
        offsets.settled(1);
        offsets.settled(2);
        assert_eq!(offsets.next(), Some(42));
    }

    #[test]
    fn what_is_not_settled_comes_again_and_what_follows_it() {
        let mut offsets = offsets(&[(1, 40), (2, 41), (5, 42), (6, 43)]);
        offsets.settled(6);
        offsets.settled(1);
        offsets.settled(5);
        assert_eq!(offsets.next(), Some(41));
        offsets.interrupt();
        offsets.settled(2);
        assert_eq!(offsets.next(), Some(41), "that tag means nothing any more");
    }

    #[test]
    fn the_offset_takes_the_place_of_the_one_that_was_asked_for() {
        let arguments = FieldTable::new().with(OFFSET, "first").unwrap().encode();
        assert_eq!(Offsets::default().resume(&arguments), arguments);
        let resumed = offsets(&[(1, 7)]).resume(&arguments);
        let table = RawTable::new(&resumed).decode().unwrap();
        assert_eq!(table.get(OFFSET), Some(&Value::I64(7)));
    }

    #[test]
    fn before_the_first_delivery_something_may_be_skipped() {
        let missed = |value: Option<Value>| {
            let mut table = FieldTable::new();
            if let Some(value) = value {
                table.insert(OFFSET, value).unwrap();
            }
            Offsets::default().missed(&table.encode())
        };
        assert_eq!(missed(None), Missed::Offset);
        assert_eq!(missed(Some("next".into())), Missed::Offset);
        assert_eq!(missed(Some("1h".into())), Missed::Offset);
        assert_eq!(missed(Some("first".into())), Missed::Nothing);
        assert_eq!(missed(Some(Value::I64(7))), Missed::Nothing);
    }
}
