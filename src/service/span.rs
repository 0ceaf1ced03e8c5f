//! Spans by OpenTelemetry's conventions for messaging
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/>).

use tracing::{Span, field::Empty};

use super::{Failure, PublishError, TraceContext};
use crate::{Message, Received};

/// The processing of a message, as a child of what sent it.
pub(super) fn process(received: &Received, queue: &str) -> Span {
    let properties = received.properties();
    let (exchange, key) = (received.exchange(), received.routing_key());
    let span = tracing::info_span!(
        "process",
        otel.name = %format_args!("process {queue}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %destination(&[exchange.as_ref(), key.as_ref(), queue]),
        messaging.rabbitmq.destination.routing_key = %key,
        messaging.message.id = properties.message_id(),
        messaging.message.conversation_id = properties.correlation_id(),
        messaging.message.body.size = received.body_len(),
        traceparent = Empty,
        error.type = Empty,
        error.message = Empty,
    );
    if !span.is_disabled()
        && let Some(context) = properties.headers().ok().as_ref().and_then(TraceContext::of)
    {
        span.record("traceparent", context.traceparent());
    }
    span
}

/// The publishing of a message.
pub(super) fn publish(exchange: &str, message: &Message) -> Span {
    let properties = message.properties();
    tracing::info_span!(
        "publish",
        otel.name = %format_args!("publish {}", destination(&[exchange])),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = %destination(&[exchange]),
        messaging.message.id = properties.message_id(),
        messaging.message.conversation_id = properties.correlation_id(),
        messaging.message.body.size = message.body().len(),
        error.type = Empty,
        error.message = Empty,
    )
}

/// The message as it is sent from within that span: it says where its trace goes on, unless it says
/// that already.
pub(super) fn carried(_span: &Span, message: Message) -> Message {
    message
}

/// Says in its span why a message was not published.
pub(super) fn not_published(span: &Span, error: &PublishError) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind());
    span.record("error.message", tracing::field::display(error));
}

/// Says in its span why something failed.
pub(super) fn failed(span: &Span, failure: &Failure) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", if failure.is_permanent() { "permanent" } else { "transient" });
    span.record("error.message", tracing::field::display(failure));
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
    fn a_destination_is_named_as_the_conventions_have_it() {
        assert_eq!(destination(&["orders", "order.eu", "inbox"]), "orders:order.eu:inbox");
        assert_eq!(destination(&["", "inbox", "inbox"]), "inbox");
        assert_eq!(destination(&["news", ""]), "news");
        assert_eq!(destination(&["", ""]), "amq.default");
    }
}
