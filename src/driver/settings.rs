//! The protocol's settings, from the user's configuration.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::{
    config::Config,
    fsm::supervisor::Policy,
    proto::{Limits, Settings},
    wire::{FieldTable, ShortString, Value},
};

/// By so much the driver's own deadline for connecting comes first.
const BACKSTOP: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        virtual_host: ShortString::new(config.vhost.as_str()).unwrap_or_default(),
        client_properties: client_properties(config),
        channel_max: config.channel_max_cap(),
        frame_max: config.frame_max_cap(),
        heartbeat: std::time::Duration::from_secs(config.heartbeat_seconds().into()),
        confirm_timeout: config.call_timeout,
        limits: limits(config),
        policy: Policy {
            // The driver keeps that deadline itself, since it knows what was tried until then: this
            // one is for what it cannot interrupt.
            connect_timeout: Some(config.connection_timeout.saturating_add(BACKSTOP)),
            // The closing handshake is a call too.
            close_timeout: config.recovery.close_timeout.min(config.call_timeout),
            ..config.recovery.clone()
        },
    }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        body_bytes: limits.body_size,
        header_bytes: limits.header_size,
        consumer_bytes: limits.consumer_bytes,
        consumer_messages: limits.consumer_messages,
        inbound_bytes: limits.inbound_bytes,
        inbound_messages: limits.inbound_messages,
        overrun_after: limits.consumer_stall,
        outbound_bytes: limits.outbound_bytes,
        window_messages: limits.window_messages,
        window_bytes: limits.window_bytes,
        returns: limits.events,
        returned_bytes: limits.event_bytes,
        idle_frames: limits.idle_frames,
    }
}

/// What we say of ourselves, and the connection's name.
fn client_properties(config: &Config) -> Bytes {
    static OURSELVES: LazyLock<Bytes> = LazyLock::new(|| ourselves().encode());
    let Some(name) = &config.connection_name else { return OURSELVES.clone() };
    let mut named = FieldTable::new();
    put(&mut named, "connection_name", name.as_str().into());
    // The entries of two tables, one behind the other, are again a table.
    [&OURSELVES[..], &named.encode()].concat().into()
}

/// The same for all connections (<https://www.rabbitmq.com/docs/connections#capabilities>).
fn ourselves() -> FieldTable {
    let capabilities = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ];
    let mut table = FieldTable::new();
    for name in capabilities {
        put(&mut table, name, Value::Bool(true));
    }
    let mut properties = FieldTable::new();
    put(&mut properties, "product", "HopMQ".into());
    put(&mut properties, "version", env!("CARGO_PKG_VERSION").into());
    put(&mut properties, "platform", "Rust".into());
    put(&mut properties, "capabilities", Value::Table(table));
    properties
}

fn put(table: &mut FieldTable, name: &'static str, value: Value) {
    let put = table.insert(name, value);
    debug_assert!(put.is_ok(), "our own names are short");
}
