//! Spans by OpenTelemetry's conventions for messaging
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/>).

use tracing::{Span, field::Empty};

use super::{CallError, Failure, PublishError, TraceContext};
use crate::{Message, MessageProperties, Received, wire::FieldTable};

/// The processing of a message, as a child of what sent it.
pub(super) fn process(received: &Received, queue: &str, tag: u64) -> Span {
    let properties = received.properties();
    let (exchange, key) = (received.exchange(), received.routing_key());
    let span = tracing::info_span!(
        "process",
        otel.name = %format_args!("process {}", bounded(queue)),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %destination(&[exchange.as_ref(), key.as_ref(), queue]),
        messaging.rabbitmq.destination.routing_key = %key,
        messaging.rabbitmq.message.delivery_tag = tag.cast_signed(),
        messaging.message.id = properties.message_id(),
        messaging.message.conversation_id = properties.correlation_id(),
        messaging.message.body.size = size(received.body_len()),
        traceparent = Empty,
        error.type = Empty,
        error.message = Empty,
    );
    let context = within(&span, properties);
    // Where nobody follows the trace, a log can still be searched for it.
    if let (Some(context), false) = (context, cfg!(feature = "opentelemetry")) {
        span.record("traceparent", context.traceparent());
    }
    span
}

/// The publishing of a message: a child of what the message says it belongs to, else of what runs.
pub(super) fn publish(exchange: &str, key: Option<&str>, message: &Message) -> Span {
    let properties = message.properties();
    let destination = destination(&[exchange, key.unwrap_or_default()]);
    // Routing keys may be without number, and names of spans must not: a queue's name is its key.
    let name = if exchange.is_empty() { bounded(&destination) } else { exchange };
    let span = tracing::info_span!(
        "publish",
        otel.name = %format_args!("publish {name}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = destination,
        messaging.rabbitmq.destination.routing_key = key,
        messaging.message.id = properties.message_id(),
        messaging.message.conversation_id = properties.correlation_id(),
        messaging.message.body.size = size(message.body().len()),
        error.type = Empty,
        error.message = Empty,
    );
    within(&span, &properties);
    span
}

/// A queue's name where there must not be too many of them: those that the broker chose are one.
pub(super) fn bounded(queue: &str) -> &str {
    if queue.starts_with("amq.gen") { "amq.gen" } else { queue }
}

/// Makes the span a child of what the message says it belongs to.
fn within(span: &Span, properties: &MessageProperties) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = TraceContext::of(&properties.headers().ok()?)?;
    #[cfg(feature = "opentelemetry")]
    context.set_parent_of(span);
    Some(context)
}

/// The message as it is sent from within that span: it says where its trace goes on, unless it says
/// that already.
#[cfg(feature = "opentelemetry")]
pub(super) fn carried(span: &Span, message: Message) -> Message {
    if message.properties().header(super::TRACEPARENT).is_some() {
        return message;
    }
    match TraceContext::of_span(span) {
        Some(context) => {
            let parent = message.header(super::TRACEPARENT, context.traceparent());
            match context.tracestate() {
                Some(state) => parent.header(super::TRACESTATE, state),
                None => parent,
            }
        }
        None => message,
    }
}

/// Without the feature `opentelemetry` nobody knows which trace the span is of.
#[cfg(not(feature = "opentelemetry"))]
pub(super) fn carried(_span: &Span, message: Message) -> Message {
    message
}

/// Headers that are kept say which trace they belong to, unless they do already.
pub(super) fn carry(headers: &mut FieldTable) {
    #[cfg(feature = "opentelemetry")]
    if headers.get(super::TRACEPARENT).is_none()
        && let Some(context) = TraceContext::of_span(&Span::current())
    {
        context.write(headers);
    }
    #[cfg(not(feature = "opentelemetry"))]
    let _ = headers;
}

/// Says in its span why a message was not published.
pub(super) fn not_published(span: &Span, error: &PublishError) {
    record(span, error.kind(), error);
}

/// Says in its span why a question has no answer.
pub(super) fn not_answered(span: &Span, error: &CallError) {
    record(span, error.kind(), error);
}

/// Says in its span why something failed.
pub(super) fn failed(span: &Span, failure: &Failure) {
    record(span, if failure.is_permanent() { "permanent" } else { "transient" }, failure);
}

fn record(span: &Span, kind: &str, error: &dyn std::fmt::Display) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
    span.record("error.message", tracing::field::display(error));
}

/// OpenTelemetry's numbers have a sign.
fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `{exchange}:{routing key}:{queue}`, without what is empty and without a repetition.
fn destination(parts: &[&str]) -> String {
    let mut said: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    said.dedup();
    match said.is_empty() {
        true => "amq.default".to_owned(),
        false => said.join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_broker_chose_are_one() {
        assert_eq!(bounded("amq.gen-Z6fT1nbbNVnhLmFbiRsZXA"), "amq.gen");
        assert_eq!(bounded("orders"), "orders");
    }

    #[test]
    fn a_destination_is_named_as_the_conventions_have_it() {
        assert_eq!(destination(&["orders", "order.eu", "inbox"]), "orders:order.eu:inbox");
        assert_eq!(destination(&["", "inbox", "inbox"]), "inbox");
        assert_eq!(destination(&["news", ""]), "news");
        assert_eq!(destination(&["", ""]), "amq.default");
    }
}
