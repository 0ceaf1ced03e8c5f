//! The arguments of queues: which a kind of queue knows, what their values may be, and whether
//! a second declaration says the same as the first. Texts are RabbitMQ's, down to its way of
//! printing Erlang terms.

use std::time::Duration;

use super::{
    headers::equal,
    message::MAX_EXPIRY,
    name::Name,
    refusal::{Entity, Refusal},
    stream::Retention,
};
use crate::wire::{FieldTable, Value};

/// The kinds of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueueKind {
    /// The mutable queue of AMQP 0-9-1.
    Classic,
    /// A queue that RabbitMQ replicates. Here it has its rules, without replicas.
    Quorum,
    /// An append-only log that is read by offset.
    Stream,
}

impl QueueKind {
    /// As `x-queue-type` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
            QueueKind::Stream => "stream",
        }
    }

    /// The name that RabbitMQ's texts use.
    const fn module(self) -> &'static str {
        match self {
            QueueKind::Classic => "rabbit_classic_queue",
            QueueKind::Quorum => "rabbit_quorum_queue",
            QueueKind::Stream => "rabbit_stream_queue",
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            QueueKind::Classic => CLASSIC,
            QueueKind::Quorum => QUORUM,
            QueueKind::Stream => STREAM,
        }
    }
}

/// What happens to a message that a full queue cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Overflow {
    /// The oldest message makes room.
    #[default]
    DropHead,
    /// The new one is refused.
    RejectPublish,
    /// The new one is refused and dead-lettered.
    RejectPublishDlx,
}

/// The arguments of a queue, understood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) kind: QueueKind,
    pub(crate) expires: Option<Duration>,
    pub(crate) message_ttl: Option<Duration>,
    pub(crate) dead_letter_exchange: Option<Name>,
    pub(crate) dead_letter_key: Option<Name>,
    pub(crate) max_length: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) overflow: Overflow,
    pub(crate) max_priority: Option<u8>,
    pub(crate) single_active: bool,
    pub(crate) delivery_limit: Option<u32>,
    /// Of a stream.
    pub(crate) retention: Retention,
}

impl Settings {
    /// Reads and checks the arguments of a declaration.
    pub(crate) fn read(queue: Entity<'_>, arguments: &FieldTable) -> Result<Self, Refusal> {
        let kind = kind_of(arguments).map_err(|why| invalid("x-queue-type", queue, &why))?;
        for &name in CHECKED {
            if kind.arguments().contains(&name)
                && let Some(value) = arguments.get(name)
            {
                check(name, value, arguments).map_err(|why| invalid(name, queue, &why))?;
            }
        }
        if let Some((name, _)) = arguments.iter().find(|(name, _)| {
            let name = name.as_str();
            !kind.arguments().contains(&name)
                && [CLASSIC, QUORUM, STREAM].iter().any(|known| known.contains(&name))
        }) {
            return Err(Refusal::precondition(format_args!(
                "invalid arg '{name}' for {queue} of queue type {}",
                kind.module()
            )));
        }
        Ok(Settings::of(kind, arguments))
    }

    fn of(kind: QueueKind, arguments: &FieldTable) -> Self {
        let number = |name| {
            let value = arguments.get(name).and_then(Value::as_i64)?;
            u64::try_from(value).ok()
        };
        let name = |name| match arguments.get(name) {
            Some(Value::LongString(octets)) => Some(Name::shared(octets.clone())),
            _ => None,
        };
        let delivery_limit = match arguments.get("x-delivery-limit").and_then(Value::as_i64) {
            None => Some(DEFAULT_DELIVERY_LIMIT),
            Some(limit) => u32::try_from(limit).ok(),
        };
        Settings {
            kind,
            expires: number("x-expires").map(Duration::from_millis),
            message_ttl: number("x-message-ttl").map(Duration::from_millis),
            dead_letter_exchange: name("x-dead-letter-exchange"),
            dead_letter_key: name("x-dead-letter-routing-key"),
            max_length: number("x-max-length"),
            max_bytes: number("x-max-length-bytes"),
            overflow: match text(arguments, "x-overflow") {
                Some("reject-publish") => Overflow::RejectPublish,
                Some("reject-publish-dlx") if kind == QueueKind::Classic => {
                    Overflow::RejectPublishDlx
                }
                _ => Overflow::DropHead,
            },
            max_priority: number("x-max-priority").and_then(|max| u8::try_from(max).ok()),
            single_active: arguments.get("x-single-active-consumer") == Some(&Value::Bool(true)),
            delivery_limit: delivery_limit.filter(|_| kind == QueueKind::Quorum),
            retention: Retention {
                segment_bytes: number("x-stream-max-segment-size-bytes").unwrap_or(SEGMENT_BYTES),
                max_bytes: number("x-max-length-bytes"),
                max_age: text(arguments, "x-max-age").and_then(|age| parse_age(age).ok()),
            },
        }
    }
}

/// Refuses a second declaration whose arguments differ from the first one's. Only the arguments
/// that the kind of queue knows are compared.
pub(crate) fn assert_equivalent(
    entity: Entity<'_>,
    kind: QueueKind,
    current: &FieldTable,
    received: &FieldTable,
) -> Result<(), Refusal> {
    kind.arguments()
        .iter()
        .try_for_each(|name| assert_field(entity, name, current.get(name), received.get(name)))
}

/// Compares one argument of two declarations.
pub(crate) fn assert_field(
    entity: Entity<'_>,
    name: &str,
    current: Option<&Value>,
    received: Option<&Value>,
) -> Result<(), Refusal> {
    let classic = Value::LongString(bytes::Bytes::from_static(b"classic"));
    match (current, received) {
        (None, None) => Ok(()),
        (Some(current), Some(received)) if equal(current, received) => Ok(()),
        // A classic queue need not say that it is one.
        (None, Some(value)) | (Some(value), None)
            if name == "x-queue-type" && *value == classic =>
        {
            Ok(())
        }
        (Some(current), Some(received)) => {
            Err(inequivalent(entity, name, quoted(received), quoted(current)))
        }
        (current, received) => Err(inequivalent(entity, name, shown(received), shown(current))),
    }
}

/// The refusal of a declaration that differs.
pub(crate) fn inequivalent(
    entity: Entity<'_>,
    name: &str,
    received: impl std::fmt::Display,
    current: impl std::fmt::Display,
) -> Refusal {
    Refusal::precondition(format_args!(
        "inequivalent arg '{name}' for {entity}: received {received} but current is {current}"
    ))
}

/// The name by which RabbitMQ's texts call the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::LongString(_) => "longstr",
        Value::Array(_) => "array",
        Value::Timestamp(_) => "timestamp",
        Value::Table(_) => "table",
        Value::Void => "void",
        Value::ByteArray(_) => "binary",
    }
}

/// A value as Erlang prints it.
pub(crate) fn term(value: &Value) -> String {
    match value {
        Value::LongString(octets) => format!("<<\"{}\">>", String::from_utf8_lossy(octets)),
        Value::Bool(value) => value.to_string(),
        Value::Void => "undefined".to_owned(),
        Value::Timestamp(seconds) => seconds.to_string(),
        value => match value.as_i64() {
            Some(number) => number.to_string(),
            None => format!("{{{},...}}", type_name(value)),
        },
    }
}

/// RabbitMQ's durations, `7D` or `30m`, as they are given for ages.
pub(crate) fn parse_age(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "invalid_max_age";
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or(WRONG)?;
    let seconds = match unit {
        "Y" => 365 * 86_400,
        "M" => 30 * 86_400,
        "D" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(WRONG),
    };
    match number.parse::<u64>() {
        Ok(0) | Err(_) => Err(WRONG),
        Ok(number) => Ok(Duration::from_secs(number.saturating_mul(seconds))),
    }
}

fn kind_of(arguments: &FieldTable) -> Result<QueueKind, String> {
    match arguments.get("x-queue-type") {
        None => Ok(QueueKind::Classic),
        Some(Value::LongString(kind)) => match kind.as_ref() {
            b"classic" | b"" | b"undefined" => Ok(QueueKind::Classic),
            b"quorum" => Ok(QueueKind::Quorum),
            b"stream" => Ok(QueueKind::Stream),
            other => {
                Err(format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other)))
            }
        },
        Some(other) => Err(unacceptable(other)),
    }
}

fn check(name: &str, value: &Value, arguments: &FieldTable) -> Result<(), String> {
    match name {
        "x-expires" => match integer(value)? {
            0 => Err("{value_zero,0}".to_owned()),
            number => expiry(number),
        },
        "x-message-ttl" => expiry(integer(value)?),
        "x-max-priority" => match unsigned(value)? {
            0..=255 => Ok(()),
            number => Err(format!("{{max_value_exceeded,{number}}}")),
        },
        "x-dead-letter-exchange" => string(value).map(drop),
        "x-dead-letter-routing-key" => {
            string(value)?;
            match arguments.get("x-dead-letter-exchange") {
                Some(_) => Ok(()),
                None => Err("routing_key_but_no_dlx_defined".to_owned()),
            }
        }
        "x-dead-letter-strategy" => {
            one_of(value, &["at-most-once", "at-least-once"], "invalid_dlx_strategy")
        }
        "x-overflow" => one_of(
            value,
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
        "x-queue-leader-locator" => one_of(
            value,
            &["client-local", "balanced", "random", "least-leaders", "min-masters"],
            "invalid_queue_locator_arg",
        ),
        "x-queue-version" => match unsigned(value)? {
            2 => Ok(()),
            number => Err(format!("\"unsupported queue version '{number}'\"")),
        },
        "x-single-active-consumer" => match value {
            Value::Bool(_) => Ok(()),
            other => Err(unacceptable(other)),
        },
        "x-max-age" => parse_age(string(value)?).map(drop).map_err(str::to_owned),
        "x-initial-cluster-size" | "x-quorum-initial-group-size" => match unsigned(value)? {
            0 => Err("{value_zero,0}".to_owned()),
            _ => Ok(()),
        },
        "x-delivery-limit" => integer(value).map(drop),
        _ => unsigned(value).map(drop),
    }
}

fn integer(value: &Value) -> Result<i64, String> {
    match value {
        Value::Timestamp(_) => Err("\"expected integer, got timestamp\"".to_owned()),
        value => {
            value.as_i64().ok_or_else(|| format!("\"expected integer, got {}\"", type_name(value)))
        }
    }
}

fn unsigned(value: &Value) -> Result<i64, String> {
    match integer(value)? {
        number if number < 0 => Err(format!("{{value_negative,{number}}}")),
        number => Ok(number),
    }
}

fn expiry(number: i64) -> Result<(), String> {
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}")),
        Ok(number) if number > MAX_EXPIRY => Err(format!("{{value_too_large,{number}}}")),
        Ok(_) => Ok(()),
    }
}

fn string(value: &Value) -> Result<&str, String> {
    match value {
        Value::LongString(_) => Ok(value.as_str().unwrap_or_default()),
        other => Err(unacceptable(other)),
    }
}

fn one_of(value: &Value, known: &[&str], wrong: &str) -> Result<(), String> {
    if known.contains(&string(value)?) { Ok(()) } else { Err(wrong.to_owned()) }
}

fn text<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", type_name(value))
}

fn invalid(name: &str, queue: Entity<'_>, why: &str) -> Refusal {
    Refusal::precondition(format_args!("invalid arg '{name}' for {queue}: {why}"))
}

/// A value where both sides have one.
fn quoted(value: &Value) -> String {
    match value {
        Value::LongString(octets) => format!("'{}'", String::from_utf8_lossy(octets)),
        value => format!("'{}'", term(value)),
    }
}

/// A value where only one side has one.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value {} of type '{}'", quoted(value), type_name(value)),
    }
}

/// How large RabbitMQ lets a stream's segments grow by default.
const SEGMENT_BYTES: u64 = 500_000_000;

/// RabbitMQ's limit on deliveries of a quorum queue's message since 4.0.
const DEFAULT_DELIVERY_LIMIT: u32 = 20;

const CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-queue-leader-locator",
];

const QUORUM: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
];

const STREAM: &[&str] = &[
    "x-max-length-bytes",
    "x-queue-type",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
];

/// The arguments whose values are checked, in RabbitMQ's order, on which it depends which of
/// several mistakes is reported.
const CHECKED: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-version",
    "x-single-active-consumer",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
    "x-delivery-limit",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text_value(text: &str) -> Value {
        Value::LongString(text.to_owned().into())
    }

    fn refusal(arguments: &[(&str, Value)]) -> String {
        let mut table = FieldTable::new();
        for (name, value) in arguments {
            table.insert(*name, value.clone()).unwrap();
        }
        let (name, vhost) = (Name::from("q"), Name::from("/"));
        let queue = Entity { kind: "queue", name: &name, vhost: &vhost };
        match Settings::read(queue, &table) {
            Ok(settings) => panic!("accepted: {settings:?}"),
            Err(refusal) => refusal.detail.replace("queue 'q' in vhost '/'", "X"),
        }
    }

    #[test]
    fn bad_arguments_are_refused_in_rabbitmqs_words() {
        let quorum = ("x-queue-type", text_value("quorum"));
        assert_eq!(
            refusal(&[("x-expires", Value::I32(0))]),
            "invalid arg 'x-expires' for X: {value_zero,0}"
        );
        assert_eq!(
            refusal(&[("x-message-ttl", Value::I32(-1))]),
            "invalid arg 'x-message-ttl' for X: {value_negative,-1}"
        );
        assert_eq!(
            refusal(&[("x-max-length", text_value("9"))]),
            "invalid arg 'x-max-length' for X: \"expected integer, got longstr\""
        );
        assert_eq!(
            refusal(&[("x-max-priority", Value::I32(256))]),
            "invalid arg 'x-max-priority' for X: {max_value_exceeded,256}"
        );
        assert_eq!(
            refusal(&[("x-dead-letter-routing-key", text_value("k"))]),
            "invalid arg 'x-dead-letter-routing-key' for X: routing_key_but_no_dlx_defined"
        );
        assert_eq!(
            refusal(&[("x-overflow", text_value("burst"))]),
            "invalid arg 'x-overflow' for X: invalid_overflow"
        );
        assert_eq!(
            refusal(&[("x-queue-type", text_value("heap"))]),
            "invalid arg 'x-queue-type' for X: \"unsupported queue type 'heap'\""
        );
        assert_eq!(
            refusal(&[quorum, ("x-max-priority", Value::I32(5))]),
            "invalid arg 'x-max-priority' for X of queue type rabbit_quorum_queue"
        );
        assert_eq!(
            refusal(&[("x-delivery-limit", Value::I32(5))]),
            "invalid arg 'x-delivery-limit' for X of queue type rabbit_classic_queue"
        );
    }

    #[test]
    fn ages_are_read() {
        assert_eq!(parse_age("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "h", "0s", "5", "5w", "-1s"] {
            assert_eq!(parse_age(wrong), Err("invalid_max_age"), "{wrong}");
        }
    }
}
