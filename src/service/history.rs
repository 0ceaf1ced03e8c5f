//! What a message has been through, in headers of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    Message, Received,
    wire::{FieldTable, Value},
};

/// How many attempts to process the message have failed.
pub const ATTEMPTS: &str = "x-hopmq-attempts";
/// A table for each of the last failures, the latest last: `attempt`, `at`, `error`.
pub const FAILURES: &str = "x-hopmq-failures";
/// The queue in which it failed.
pub const QUEUE: &str = "x-hopmq-queue";
/// The exchange that it was published to at first.
pub const EXCHANGE: &str = "x-hopmq-exchange";
/// The routing key that it was published with at first.
pub const ROUTING_KEY: &str = "x-hopmq-routing-key";
/// What the broker's `x-death` said when it failed for the first time.
pub const DEATHS: &str = "x-hopmq-x-death";

/// Headers have to fit a frame, so a history has a bound: the failures kept, and each one's text.
const FAILURES_MAX: usize = 16;
const ERROR_MAX: usize = 512;

/// What would send a copy elsewhere, or be taken for the copy's own history.
///
/// `CC` and `BCC` would route the copy to others as well. RabbitMQ before 4.0 believes an `x-death`
/// that a client sends, and drops a message of which that says that it goes in a circle.
const NOT_COPIED: &[&str] = &[
    "CC",
    "BCC",
    "x-delivery-count",
    "x-death",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-first-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-last-death-exchange",
];

/// How many attempts have failed before, by the message's own account.
pub(super) fn attempts_before(headers: &FieldTable) -> u32 {
    let attempts = headers.get(ATTEMPTS).and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(attempts).unwrap_or(u32::MAX)
}

/// The message as it is published again after a failure: a copy with its history, which does not
/// expire on the way.
pub(super) fn copy(received: Received, queue: &str, attempt: u32, error: &str) -> Message {
    let headers = received.properties().headers().unwrap_or_default();
    let exchange = received.exchange().into_owned();
    let routing_key = received.routing_key().into_owned();
    let mut copy = received.into_message().without_expiration();
    for name in NOT_COPIED {
        copy = copy.without_header(name);
    }
    copy = copy
        .header(ATTEMPTS, i64::from(attempt))
        .header(FAILURES, failures(&headers, attempt, error))
        .header(QUEUE, queue);
    if headers.get(EXCHANGE).is_none() {
        copy = copy.header(EXCHANGE, exchange).header(ROUTING_KEY, routing_key);
    }
    if let (None, Some(deaths)) = (headers.get(DEATHS), headers.get("x-death")) {
        copy = copy.header(DEATHS, deaths.clone());
    }
    copy
}

fn failures(headers: &FieldTable, attempt: u32, error: &str) -> Value {
    let before = headers.get(FAILURES).and_then(Value::as_array).unwrap_or_default();
    let skip = before.len().saturating_sub(FAILURES_MAX - 1);
    let mut all: Vec<Value> = before.iter().skip(skip).cloned().collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut failure = FieldTable::new();
    // The names are short literals.
    let _ = failure.insert("attempt", i64::from(attempt));
    let _ = failure.insert("at", Value::Timestamp(since.as_secs()));
    let _ = failure.insert("error", shortened(error));
    all.push(Value::Table(failure));
    Value::Array(all)
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(ERROR_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_bounded() {
        let mut headers = FieldTable::new();
        for attempt in 1..=40 {
            let all = failures(&headers, attempt, &"ä".repeat(1000));
            headers.insert(FAILURES, all).unwrap();
        }
        let kept = headers.get(FAILURES).and_then(Value::as_array).unwrap();
        assert_eq!(kept.len(), FAILURES_MAX);
        let Value::Table(last) = kept.last().unwrap() else { panic!("a table") };
        assert_eq!(last.get("attempt"), Some(&Value::I64(40)));
        assert_eq!(last.get("error").and_then(Value::as_str).unwrap().len(), ERROR_MAX);
    }

    #[test]
    fn attempts_are_believed_only_as_far_as_they_make_sense() {
        let with = |value: Value| FieldTable::new().with(ATTEMPTS, value).unwrap();
        assert_eq!(attempts_before(&FieldTable::new()), 0);
        assert_eq!(attempts_before(&with(Value::I64(3))), 3);
        assert_eq!(attempts_before(&with(Value::I64(-3))), 0);
        assert_eq!(attempts_before(&with(Value::I64(i64::MAX))), u32::MAX);
        assert_eq!(attempts_before(&with("many".into())), 0);
    }
}
