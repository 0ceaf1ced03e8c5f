//! What the pure connection is told by its user: no addresses, no sockets.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{
    fsm::supervisor::Policy,
    wire::{ContentHeader, ShortString, WholeDelivery},
};

/// Bytes that must not be shown, such as a SASL response.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A SASL mechanism with the response that it sends first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mechanism {
    /// Its name, e.g. `PLAIN`.
    pub name: ShortString,
    /// The initial response.
    pub response: Secret,
}

/// Everything that steers a client connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The virtual host.
    pub virtual_host: ShortString,
    /// The encoded client properties.
    pub client_properties: Bytes,
    /// The highest channel id wanted; 0 is no limit.
    pub channel_max: u16,
    /// The largest frame wanted; 0 is no limit, which here means [`FRAME_MAX_CAP`].
    pub frame_max: u32,
    /// The heartbeat interval wanted; zero is none.
    pub heartbeat: Duration,
    /// How long a publish waits for its confirm before its outcome is unknown.
    pub confirm_timeout: Duration,
    /// Bounds on what can grow.
    pub limits: Limits,
    /// Reconnection, backoff, circuit breaker; deadlines for connecting and closing.
    pub policy: Policy,
}

/// What "no limit" means for frames: memory is bounded whatever the peer announces.
pub const FRAME_MAX_CAP: u32 = 1024 * 1024;

/// Bounds on what can grow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The largest body that is delivered; a larger one is discarded while it streams.
    pub body_bytes: u64,
    /// The largest property list that is delivered; a message with a larger one is discarded.
    pub header_bytes: usize,
    /// What may wait for one consumer before reading stops.
    pub consumer_bytes: usize,
    /// How many deliveries may wait for one consumer before reading stops.
    pub consumer_messages: usize,
    /// What may wait for all consumers of the connection before reading stops.
    pub inbound_bytes: usize,
    /// How many deliveries may wait for all of them before reading stops.
    pub inbound_messages: usize,
    /// How long reading may stop for one consumer before it is cancelled as overrun.
    pub overrun_after: Duration,
    /// What may wait for the socket before publishing waits.
    pub outbound_bytes: usize,
    /// Unconfirmed messages on one channel before publishing waits.
    pub window_messages: usize,
    /// Unconfirmed bytes on one channel before publishing waits.
    pub window_bytes: usize,
    /// Returned messages that wait for a listener on one channel; the oldest are dropped.
    pub returns: usize,
    /// The bytes of those messages.
    pub returned_bytes: usize,
    /// Frames that cost the peer nothing, such as heartbeats, in a second; more are a flood.
    pub idle_frames: u32,
}

impl Limits {
    /// Whether a delivery is delivered, and not discarded for its size.
    #[inline]
    pub(super) fn admit(&self, found: &WholeDelivery<'_>) -> bool {
        found.body.len() as u64 <= self.body_bytes
            && found.header.len() - ContentHeader::PROPERTIES_AT <= self.header_bytes
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 * 1024 * 1024,
            header_bytes: 128 * 1024,
            consumer_bytes: 1024 * 1024,
            consumer_messages: 8_192,
            inbound_bytes: 64 * 1024 * 1024,
            inbound_messages: 262_144,
            overrun_after: Duration::from_secs(30),
            outbound_bytes: 256 * 1024,
            window_messages: 1024,
            window_bytes: 16 * 1024 * 1024,
            returns: 1024,
            returned_bytes: 1024 * 1024,
            idle_frames: 10_000,
        }
    }
}
