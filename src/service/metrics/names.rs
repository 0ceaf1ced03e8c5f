//! The one list of metrics.

use super::{Kind, Metric, Unit};

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident of $unit:ident by [$($label:literal),*]: $help:literal;)+) => {
        $(
            #[doc = concat!($help, ".")]
            pub const $constant: &str = $name;
        )+

        /// Every metric.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $constant,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
        }),+];
    };
}

metrics! {
    CONNECTION_UP = "hopmq_connection_up", Gauge of Count by ["connection"]:
        "1 while the connection is connected or degraded, else 0";
    CONNECTION_STATE = "hopmq_connection_state", Gauge of Count by ["connection", "state"]:
        "1 for the state that the connection is in, 0 for the others";
    CONNECTION_BLOCKED = "hopmq_connection_blocked", Gauge of Count by ["connection"]:
        "1 while the broker blocks publishers, else 0";
    BREAKER_OPEN = "hopmq_breaker_open", Gauge of Count by ["connection"]:
        "1 while the circuit breaker is open and calls fail fast, else 0";
    BREAKER_TRIPS = "hopmq_breaker_trips_total", Counter of Count by ["connection"]:
        "How often the circuit breaker opened";
    ATTEMPTS = "hopmq_connection_attempts_total", Counter of Count by ["connection"]:
        "Attempts to connect";
    LOSSES = "hopmq_connection_losses_total", Counter of Count by ["connection"]:
        "How often the connection was lost";
    RECONNECTS = "hopmq_reconnects_total", Counter of Count by ["connection"]:
        "How often a lost connection was back";
    CONNECTION_ERRORS = "hopmq_connection_errors_total", Counter of Count by ["connection", "kind"]:
        "Why attempts failed and the connection was lost or ended";
    NOT_RECOVERED = "hopmq_not_recovered", Gauge of Count by ["connection"]:
        "Exchanges, queues, bindings and consumers that could not be brought back yet";
    CHANNELS = "hopmq_channels_open", Gauge of Count by ["connection"]:
        "Channels in use";
    PUBLISHED = "hopmq_messages_published_total", Counter of Count by ["connection"]:
        "Messages published";
    PUBLISHED_BYTES = "hopmq_published_body_bytes_total", Counter of Bytes by ["connection"]:
        "The bytes of their bodies";
    CONFIRMED = "hopmq_messages_confirmed_total", Counter of Count by ["connection"]:
        "Publishes that the broker confirmed";
    NACKED = "hopmq_messages_nacked_total", Counter of Count by ["connection"]:
        "Publishes that the broker refused";
    RETURNED = "hopmq_messages_returned_total", Counter of Count by ["connection"]:
        "Messages that came back since no queue took them";
    REPLAYED = "hopmq_messages_replayed_total", Counter of Count by ["connection"]:
        "Messages published again after a lost connection";
    DELIVERED = "hopmq_messages_delivered_total", Counter of Count by ["connection"]:
        "Messages received";
    DELIVERED_BYTES = "hopmq_delivered_body_bytes_total", Counter of Bytes by ["connection"]:
        "The bytes of their bodies";
    REDELIVERED = "hopmq_messages_redelivered_total", Counter of Count by ["connection"]:
        "Messages received that had been delivered before";
    SENT_BYTES = "hopmq_socket_sent_bytes_total", Counter of Bytes by ["connection"]:
        "Bytes sent, frames and all";
    RECEIVED_BYTES = "hopmq_socket_received_bytes_total", Counter of Bytes by ["connection"]:
        "Bytes received, frames and all";
    UNCONFIRMED = "hopmq_unconfirmed", Gauge of Count by ["connection"]:
        "Publishes that the broker has not answered yet";
    UNSETTLED = "hopmq_unsettled", Gauge of Count by ["connection"]:
        "Deliveries taken and not settled yet";
    OUTBOUND_BYTES = "hopmq_outbound_buffered_bytes", Gauge of Bytes by ["connection"]:
        "Bytes that wait for the socket";
    INBOUND_BYTES = "hopmq_inbound_buffered_bytes", Gauge of Bytes by ["connection"]:
        "Bytes of deliveries that wait for their consumers";
    POOL_CHANNELS = "hopmq_pool_channels", Gauge of Count by ["pool"]:
        "Channels of the pool, in use or not";
    POOL_CHANNELS_MAX = "hopmq_pool_channels_max", Gauge of Count by ["pool"]:
        "The most channels that the pool may have";
    POOL_IN_USE = "hopmq_pool_channels_in_use", Gauge of Count by ["pool"]:
        "Channels of the pool that are in use";
    POOL_WAITING = "hopmq_pool_waiting", Gauge of Count by ["pool"]:
        "Calls that wait for a channel of the pool";
    POOL_CONNECTIONS = "hopmq_pool_connections", Gauge of Count by ["pool"]:
        "Connections of the pool";
    POOL_ROUND_TRIP = "hopmq_pool_round_trip_seconds", Gauge of Seconds by ["pool"]:
        "How long the last check of the pool took there and back, on its slowest connection";
    POOL_EVICTIONS = "hopmq_pool_evictions_total", Counter of Count by ["pool", "reason"]:
        "Channels that the pool did not keep";
    POOL_CONNECTION_EVICTIONS = "hopmq_pool_connection_evictions_total", Counter of Count by ["pool", "reason"]:
        "Connections that the pool did not keep";
    CONFIRM_SECONDS = "hopmq_confirm_seconds", Histogram of Seconds by ["exchange"]:
        "From publishing a message to its confirm";
    PUBLISH_ERRORS = "hopmq_publish_errors_total", Counter of Count by ["exchange", "kind"]:
        "Messages that a publisher could not publish";
    HANDLERS = "hopmq_handlers_running", Gauge of Count by ["queue"]:
        "Messages being processed";
    HANDLER_SECONDS = "hopmq_handler_seconds", Histogram of Seconds by ["queue", "outcome"]:
        "How long handlers took";
    PROCESSED = "hopmq_messages_processed_total", Counter of Count by ["queue", "outcome"]:
        "Messages that a worker settled, by what became of them";
    UNDECODABLE = "hopmq_messages_undecodable_total", Counter of Count by ["queue"]:
        "Messages that a worker could not decode";
    HEALTH_SECONDS = "hopmq_health_round_trip_seconds", Histogram of Seconds by ["source"]:
        "How long the broker took to answer a health check";
    HEALTH_FAILURES = "hopmq_health_failures_total", Counter of Count by ["source"]:
        "Health checks that were not answered in time";
    CALL_SECONDS = "hopmq_call_seconds", Histogram of Seconds by ["exchange", "outcome"]:
        "From asking a question to its answer, or to why there is none (`ok` or `failed`)";
}
