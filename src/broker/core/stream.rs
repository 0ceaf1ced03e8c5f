//! A stream: an append-only log read by offset, with retention by size and age.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{arguments::parse_age, message::Message, refusal::Entity, refusal::Refusal};
use crate::{
    fsm::Time,
    wire::{FieldTable, Value},
};

/// The log of a stream: segments, of which the oldest go as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// The segments that the entries are in, the oldest first.
    segments: VecDeque<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    offset: u64,
    message: Arc<Message>,
    at: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Segment {
    entries: usize,
    bytes: u64,
    /// When the last entry came.
    last: Time,
}

/// How long segments grow, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Retention {
    pub(crate) segment_bytes: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
}

/// What came of appending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Its offset.
    pub(crate) offset: u64,
    /// What the messages that went for it have cost.
    pub(crate) freed: usize,
}

/// What a message takes besides its body: the headers of a chunk and of an entry in it, as if each
/// came in a chunk of its own.
const OVERHEAD: u64 = 48 + 4;

/// Where a consumer of a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    First,
    Last,
    Next,
    Offset(u64),
    /// The first message that is not older.
    Since(Time),
}

impl Log {
    /// Appends a message. Where that begins a segment, the oldest ones go that retention no longer
    /// keeps, and only then: "the stream will always leave at least one segment in place"
    /// (<https://www.rabbitmq.com/docs/streams#retention>).
    pub(crate) fn append(
        &mut self,
        message: Arc<Message>,
        now: Time,
        retention: &Retention,
    ) -> Appended {
        let begins = self.is_full(retention);
        // RabbitMQ begins it with a note of its own, of what each publisher has confirmed.
        let offset = self.end() + u64::from(begins);
        self.push(Entry { offset, message, at: now }, begins);
        let freed = if begins { self.retain(now, retention) } else { 0 };
        Appended { offset, freed }
    }

    /// Puts back a message that was stored.
    pub(crate) fn restore(&mut self, message: Arc<Message>, offset: u64, retention: &Retention) {
        let begins = self.is_full(retention);
        self.push(Entry { offset, message, at: Time::ZERO }, begins);
    }

    /// The offset of the first message that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.entries.front().map_or(0, |entry| entry.offset)
    }

    /// Whether the next message begins a segment.
    fn is_full(&self, retention: &Retention) -> bool {
        self.segments.back().is_some_and(|newest| newest.bytes >= retention.segment_bytes)
    }

    fn push(&mut self, entry: Entry, begins: bool) {
        if begins || self.segments.is_empty() {
            self.segments.push_back(Segment::default());
        }
        if let Some(newest) = self.segments.back_mut() {
            newest.entries += 1;
            newest.bytes += entry.message.size() as u64 + OVERHEAD;
            newest.last = entry.at;
        }
        self.entries.push_back(entry);
    }

    /// Lets go of segments that are too many or too old. Returns the octets that were freed.
    fn retain(&mut self, now: Time, retention: &Retention) -> usize {
        let mut bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let mut freed = 0;
        while self.segments.len() > 1
            && let Some(oldest) = self.segments.front()
        {
            let age = now.saturating_since(oldest.last);
            if retention.max_bytes.is_none_or(|max| bytes <= max)
                && retention.max_age.is_none_or(|max| age <= max)
            {
                break;
            }
            bytes -= oldest.bytes;
            freed +=
                self.entries.drain(..oldest.entries).map(|gone| gone.message.cost()).sum::<usize>();
            self.segments.pop_front();
        }
        freed
    }

    /// Messages that are kept.
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The messages that are kept, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.entries.iter().map(|entry| &entry.message)
    }

    /// Octets that the messages cost.
    pub(crate) fn cost(&self) -> usize {
        self.entries.iter().map(|entry| entry.message.cost()).sum()
    }

    /// The offset behind the last message. The next one has it, unless it begins a segment.
    pub(crate) fn end(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.offset + 1)
    }

    /// The message at an offset, or the first one after it that is kept and that the filter
    /// lets through.
    pub(crate) fn read(
        &self,
        offset: u64,
        filter: Option<&Filter>,
    ) -> Option<(u64, &Arc<Message>)> {
        let from = self.entries.partition_point(|entry| entry.offset < offset);
        let found = match filter {
            None => self.entries.get(from),
            Some(filter) => self.entries.range(from..).find(|entry| filter.admits(&entry.message)),
        };
        found.map(|entry| (entry.offset, &entry.message))
    }

    /// The offset at which a consumer begins.
    pub(crate) fn start(&self, start: Start) -> u64 {
        match start {
            Start::First => self.first(),
            Start::Last => self.entries.back().map_or(0, |entry| entry.offset),
            Start::Next => self.end(),
            Start::Offset(offset) => offset,
            Start::Since(time) => {
                let since = self.entries.partition_point(|entry| entry.at < time);
                self.entries.get(since).map_or(self.end(), |entry| entry.offset)
            }
        }
    }
}

/// What a consumer wants of a stream: messages by the value of their header
/// `x-stream-filter-value`. RabbitMQ leaves out whole chunks where none can match; here every
/// message is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    values: Vec<Bytes>,
    /// Whether messages without a value are wanted, too.
    unfiltered: bool,
}

impl Filter {
    /// Reads `x-stream-filter` and `x-stream-match-unfiltered`.
    pub(crate) fn read(arguments: &FieldTable) -> Option<Self> {
        let values = match arguments.get("x-stream-filter")? {
            Value::LongString(value) => vec![value.clone()],
            Value::Array(values) => {
                values.iter().filter_map(|value| value.as_bytes().cloned()).collect()
            }
            _ => return None,
        };
        let unfiltered = arguments.get("x-stream-match-unfiltered") == Some(&Value::Bool(true));
        Some(Filter { values, unfiltered })
    }

    fn admits(&self, message: &Message) -> bool {
        match message.headers().get("x-stream-filter-value") {
            Some(Value::LongString(value)) => self.values.contains(value),
            _ => self.unfiltered,
        }
    }
}

/// Reads `x-stream-offset`. Timestamps are wall-clock seconds; `epoch` is what the origin of the
/// core's time is in them.
pub(crate) fn start_of(
    queue: Entity<'_>,
    arguments: &FieldTable,
    now: Time,
    epoch: u64,
) -> Result<Start, Refusal> {
    let Some(value) = arguments.get("x-stream-offset") else {
        return Ok(Start::Next);
    };
    let invalid = || {
        Refusal::precondition(format_args!(
            "invalid arg 'x-stream-offset' for {queue}: {{invalid_stream_offset_arg,{{{},{}}}}}",
            super::arguments::type_name(value),
            super::arguments::term(value)
        ))
    };
    match value {
        Value::Timestamp(seconds) => {
            Ok(Start::Since(Time::from_secs(seconds.saturating_sub(epoch))))
        }
        Value::LongString(_) => match value.as_str() {
            Some("first") => Ok(Start::First),
            Some("last") => Ok(Start::Last),
            Some("next") => Ok(Start::Next),
            Some(age) => {
                let age = parse_age(age).map_err(|_| invalid())?;
                let nanos = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
                Ok(Start::Since(Time::from_nanos(now.as_nanos().saturating_sub(nanos))))
            }
            None => Err(invalid()),
        },
        // Before the first there is nothing.
        value => match value.as_i64() {
            Some(offset) => Ok(Start::Offset(u64::try_from(offset).unwrap_or(0))),
            None => Err(invalid()),
        },
    }
}
