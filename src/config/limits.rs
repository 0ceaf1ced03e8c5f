//! What may be held in memory for a connection.
use std::time::Duration;

use crate::wire::TableLimits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bounds of everything that a peer, or a program faster than its peer, could make grow.
///
/// Each has a sane default, and each can be changed:
///
/// ```
/// # use hopmq::{Config, Limits};
/// let mut limits = Limits::default();
/// limits.body_size = 1024 * 1024;
/// let config = Config::new().limits(limits);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize, ::serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame, in bytes, where neither side names a limit (`frame_max` 0). 128 KiB.
    pub frame_size: u32,
    /// The largest body of a message that is taken or sent, in bytes. A larger one that arrives is
    /// discarded while it streams, and its channel survives. 64 MiB.
    pub body_size: u64,
    /// The largest list of properties of a message, its headers included, that is taken or sent, in
    /// bytes. A message with a larger one is discarded, and its channel survives; sending one is an
    /// error. It travels in one frame, so that `frame_max` bounds it too. 128 KiB.
    pub header_size: usize,
    /// How many tables and arrays may be within each other in the headers of a message for them to be
    /// decoded. A message with deeper ones is delivered all the same, its headers undecoded. 32.
    pub table_depth: u8,
    /// How many entries the headers of a message may have, over all levels, for them to be decoded. A
    /// message with more is delivered all the same, its headers undecoded. 16,384.
    pub table_entries: u32,
    /// How many deliveries wait for one consumer before reading from the socket stops. 8,192.
    pub consumer_messages: usize,
    /// How many bytes of deliveries wait for one consumer before reading from the socket stops.
    /// One message is taken whatever its size. 1 MiB.
    pub consumer_bytes: usize,
    /// How many deliveries wait for all consumers of a connection together before reading from the
    /// socket stops. 262,144.
    pub inbound_messages: usize,
    /// How many bytes of deliveries wait for all consumers of a connection together before reading
    /// from the socket stops. Besides, a message that is not complete takes what of it has arrived:
    /// one for each channel, each up to [`Limits::body_size`]. 64 MiB.
    pub inbound_bytes: usize,
    /// How long reading may stop for a consumer that does not keep up, before that consumer is
    /// cancelled with an overrun; where all together hold too much, those that hold the most are, until
    /// there is room. While reading has stopped, heartbeats go on being sent, and the broker's silence
    /// is not held against it. 10 s.
    #[cfg_attr(feature = "serde", serde(with = "super::serde::seconds"))]
    pub consumer_stall: Duration,
    /// How many bytes wait to be written to the socket before senders wait. 256 KiB.
    pub outbound_bytes: usize,
    /// How many published messages of one channel may be unconfirmed before publishing waits. 1,000.
    pub window_messages: usize,
    /// How many bytes of published messages of one channel may be unconfirmed before publishing
    /// waits. One message is taken whatever its size. 16 MiB.
    pub window_bytes: usize,
    /// How many events and returned messages wait for a listener that does not read them; the
    /// oldest give way, and are counted. 1,024.
    pub events: usize,
    /// How many bytes of returned messages wait for a listener that does not read them. One message is
    /// kept whatever its size. 1 MiB.
    pub event_bytes: usize,
    /// How many frames that cost the peer nothing (heartbeats, `connection.blocked`, `channel.flow`,
    /// `basic.cancel`, confirms of what was confirmed) are taken in a second, before the connection is closed for a flood. 10,000.
    pub idle_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_size: 128 * 1024,
            body_size: 64 * 1024 * 1024,
            header_size: 128 * KIB,
            table_depth: TableLimits::default().depth,
            table_entries: TableLimits::default().entries,
            consumer_messages: 8_192,
            consumer_bytes: MIB,
            inbound_messages: 262_144,
            inbound_bytes: 64 * MIB,
            consumer_stall: Duration::from_secs(10),
            outbound_bytes: 256 * KIB,
            window_messages: 1_000,
            window_bytes: 16 * MIB,
            events: 1_024,
            event_bytes: MIB,
            idle_frames: 10_000,
        }
    }
}

impl Limits {
    /// The bounds within which the headers of a message are decoded.
    pub(crate) fn table(&self) -> TableLimits {
        TableLimits { depth: self.table_depth, entries: self.table_entries }
    }
}
