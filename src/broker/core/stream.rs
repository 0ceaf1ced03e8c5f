//! A stream: an append-only log read by offset, with retention by size and age.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{arguments::parse_age, message::Message, refusal::Entity, refusal::Refusal};
use crate::{
    fsm::Time,
    wire::{FieldTable, Value},
};

/// The log of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    entries: VecDeque<Appended>,
    /// The offset of the first entry that is kept.
    first: u64,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Appended {
    message: Arc<Message>,
    at: Time,
}

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
    /// Appends a message and lets go of what retention no longer keeps.
    /// Returns the octets that were freed.
    pub(crate) fn append(
        &mut self,
        message: Arc<Message>,
        at: Time,
        max_bytes: Option<u64>,
        max_age: Option<Duration>,
    ) -> usize {
        self.bytes += message.size() as u64;
        self.entries.push_back(Appended { message, at });
        let mut freed = 0;
        while self.entries.len() > 1 && self.is_due(at, max_bytes, max_age) {
            if let Some(gone) = self.entries.pop_front() {
                self.first += 1;
                self.bytes = self.bytes.saturating_sub(gone.message.size() as u64);
                freed += gone.message.cost();
            }
        }
        freed
    }

    /// Puts back a message that was stored.
    pub(crate) fn restore(&mut self, message: Arc<Message>, offset: u64) {
        if self.entries.is_empty() {
            self.first = offset;
        }
        self.bytes += message.size() as u64;
        self.entries.push_back(Appended { message, at: Time::ZERO });
    }

    /// The offset of the first message that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    fn is_due(&self, now: Time, max_bytes: Option<u64>, max_age: Option<Duration>) -> bool {
        max_bytes.is_some_and(|max| self.bytes > max)
            || self.entries.front().is_some_and(|oldest| {
                max_age.is_some_and(|max| now.saturating_since(oldest.at) > max)
            })
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

    /// The offset that the next message will have.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The message at an offset, or the first one after it that is kept and that the filter
    /// lets through.
    pub(crate) fn read(
        &self,
        offset: u64,
        filter: Option<&Filter>,
    ) -> Option<(u64, &Arc<Message>)> {
        let offset = offset.max(self.first);
        let index = usize::try_from(offset - self.first).ok()?;
        let found = match filter {
            None => index,
            Some(filter) => {
                let later = self.entries.iter().skip(index);
                index + later.map(|entry| &entry.message).position(|have| filter.admits(have))?
            }
        };
        self.entries.get(found).map(|entry| (self.first + found as u64, &entry.message))
    }

    /// The offset at which a consumer begins.
    pub(crate) fn start(&self, start: Start) -> u64 {
        match start {
            Start::First => self.first,
            Start::Last => self.end().saturating_sub(1).max(self.first),
            Start::Next => self.end(),
            Start::Offset(offset) => offset,
            Start::Since(time) => {
                self.first + self.entries.partition_point(|entry| entry.at < time) as u64
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
