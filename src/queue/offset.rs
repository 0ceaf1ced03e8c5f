//! Where in a stream a consumer starts.

use std::{
    num::NonZeroU32,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{usage::UsageError, wire::Value};

/// Where in a stream a consumer starts
/// (<https://www.rabbitmq.com/docs/streams#consuming>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offset {
    /// With the oldest message that is still kept.
    First,
    /// With the last chunk of messages that was written.
    Last,
    /// With what is published from now on. The broker's default.
    Next,
    /// With the message at this offset, or the oldest after it.
    At(u64),
    /// With the chunk of messages that was written at this time, to the second, or the next one.
    /// It may start with somewhat older messages.
    Since(SystemTime),
    /// With what was written that long ago, by the broker's clock.
    Ago(NonZeroU32, TimeUnit),
}

/// A unit of time, as the broker counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
    /// Days of 24 hours.
    Days,
    /// Months of 30 days.
    Months,
    /// Years of 365 days.
    Years,
}

impl Offset {
    /// The value of the argument `x-stream-offset`.
    pub(crate) fn value(self) -> Result<Value, UsageError> {
        let bad = |problem| UsageError::bad("x-stream-offset", problem);
        Ok(match self {
            Offset::First => "first".into(),
            Offset::Last => "last".into(),
            Offset::Next => "next".into(),
            Offset::At(offset) => {
                i64::try_from(offset).map_err(|_| bad("is more than 63 bits can hold"))?.into()
            }
            Offset::Since(time) => match time.duration_since(UNIX_EPOCH) {
                Ok(since) => Value::Timestamp(since.as_secs()),
                Err(_) => return Err(bad("is before 1970, where AMQP's time begins")),
            },
            Offset::Ago(count, unit) => format!("{count}{}", unit.letter()).into(),
        })
    }
}

impl TimeUnit {
    fn letter(self) -> char {
        match self {
            TimeUnit::Seconds => 's',
            TimeUnit::Minutes => 'm',
            TimeUnit::Hours => 'h',
            TimeUnit::Days => 'D',
            TimeUnit::Months => 'M',
            TimeUnit::Years => 'Y',
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_offset_is_said_in_the_brokers_words() {
        assert_eq!(Offset::First.value(), Ok("first".into()));
        assert_eq!(Offset::At(42).value(), Ok(Value::I64(42)));
        let since = Offset::Since(UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(since.value(), Ok(Value::Timestamp(1)));
        let ago = Offset::Ago(NonZeroU32::MIN, TimeUnit::Days);
        assert_eq!(ago.value(), Ok("1D".into()));
    }

    #[test]
    fn offsets_that_cannot_be_said_are_refused() {
        assert!(Offset::At(u64::MAX).value().is_err());
        assert!(Offset::Since(UNIX_EPOCH - Duration::from_secs(1)).value().is_err());
    }
}
