//! Messages on their way into the batch.

use super::*;
use crate::proto::content::total;

/// What became of a publish that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It is in the batch.
    Yes {
        /// Its delivery tag on a confirming channel, else 0.
        tag: u64,
    },
    /// It has to wait: the socket, the window or the broker's alarm holds it back. The waiter is
    /// woken when it may try again.
    Wait,
}

/// A message to publish, encoded as far as its sender can.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The exchange; empty is the default exchange.
    pub exchange: ShortStr<'a>,
    /// The routing key.
    pub routing_key: ShortStr<'a>,
    /// The broker sends it back when no queue takes it.
    pub mandatory: bool,
    /// The encoded property list.
    pub properties: &'a [u8],
    /// Where in `properties` the eight bytes of the sequence header's value are, if it has one.
    pub sequence_at: Option<usize>,
    /// The body.
    pub body: &'a [Bytes],
    /// On a confirming channel: publish it again after a lost connection, until the broker has
    /// answered.
    pub keep: bool,
}

/// What of [`Outgoing`] is the same for many messages: where they go, and how.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The exchange; empty is the default exchange.
    pub exchange: ShortStr<'a>,
    /// The routing key.
    pub routing_key: ShortStr<'a>,
    /// The broker sends them back when no queue takes them.
    pub mandatory: bool,
    /// On a confirming channel: publish them again after a lost connection, until the broker has
    /// answered.
    pub keep: bool,
}

/// What of [`Outgoing`] is a message's own.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// The encoded property list.
    pub properties: &'a [u8],
    /// Where in `properties` the eight bytes of the sequence header's value are, if it has one.
    pub sequence_at: Option<usize>,
    /// The body.
    pub body: &'a [Bytes],
}

impl<'a> Outgoing<'a> {
    /// Where it goes, and how.
    pub fn route(&self) -> Route<'a> {
        let Outgoing { exchange, routing_key, mandatory, keep, .. } = *self;
        Route { exchange, routing_key, mandatory, keep }
    }

    /// The message itself.
    pub fn encoded(&self) -> Encoded<'a> {
        let Outgoing { properties, sequence_at, body, .. } = *self;
        Encoded { properties, sequence_at, body }
    }
}

impl Encoded<'_> {
    /// The bytes of the body.
    #[inline]
    pub fn size(&self) -> usize {
        total(self.body)
    }
}

impl Kept {
    /// The message as it is kept.
    pub(in crate::proto) fn new(route: &Route<'_>, message: &Encoded<'_>) -> Box<Self> {
        Box::new(Kept {
            exchange: ShortString::from_short_lossy(route.exchange),
            routing_key: ShortString::from_short_lossy(route.routing_key),
            mandatory: route.mandatory,
            properties: Bytes::copy_from_slice(message.properties),
            sequence_at: message.sequence_at,
            body: message.body.to_vec(),
        })
    }

    pub(in crate::proto) fn route(&self) -> Route<'_> {
        Route {
            exchange: self.exchange.as_short(),
            routing_key: self.routing_key.as_short(),
            mandatory: self.mandatory,
            keep: true,
        }
    }

    pub(in crate::proto) fn encoded(&self) -> Encoded<'_> {
        let Kept { properties, sequence_at, body, .. } = self;
        Encoded { properties, sequence_at: *sequence_at, body }
    }
}

/// A channel that messages are published on, one after the other, to one place.
///
/// What is the same for all of them was looked at when [`Connection::publishing`] gave it: while it
/// borrows the connection, nothing else changes that.
#[derive(Debug)]
pub struct Publishing<'c> {
    pub(super) channel: &'c mut Channel,
    pub(super) core: &'c mut Core,
    /// What is published is kept until the broker has answered.
    pub(super) keep: bool,
    /// The connection is there, and the broker takes messages.
    pub(super) flows: bool,
    pub(super) frame_max: usize,
}

impl Publishing<'_> {
    /// Publishes a message. `waiter` gives nothing when it is already queued and not yet woken.
    #[inline]
    pub fn publish(
        &mut self,
        message: &Encoded<'_>,
        now: impl FnOnce() -> Time,
        waiter: &mut dyn FnMut() -> Option<WaiterId>,
    ) -> Accepted {
        let Publishing { channel, core, .. } = self;
        if !self.flows || core.batch.len() >= core.limits.outbound_bytes {
            return self.hold_back(message, waiter);
        }
        let size = message.size();
        let weight = size + message.properties.len();
        if channel.window_is_full(weight, core, waiter) {
            return Accepted::Wait;
        }
        channel.begin_publish(&mut core.batch.bytes);
        let tag = match channel.is_confirming() {
            true => {
                let kept = self
                    .keep
                    .then(|| Kept::new(&channel.head.get_or_insert_default().route(), message));
                // The clock is read once a batch: confirm deadlines need no better.
                let stamp = *core.stamp.get_or_insert_with(now);
                channel.ledger.push(stamp, weight, kept)
            }
            false => 0,
        };
        let head = channel.head.get_or_insert_default();
        head.append(&mut core.batch, message, tag, self.frame_max);
        core.traffic.publish(size);
        Accepted::Yes { tag }
    }

    /// See [`Connection::frame_max`].
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// The connection is lost, the broker takes nothing, or the socket does not.
    #[cold]
    fn hold_back(
        &mut self,
        message: &Encoded<'_>,
        waiter: &mut dyn FnMut() -> Option<WaiterId>,
    ) -> Accepted {
        let Publishing { channel, core, keep, .. } = self;
        if *keep && !channel.live && channel.is_confirming() {
            let kept = Kept::new(&channel.head.get_or_insert_default().route(), message);
            return channel.keep_for_later(kept, core, waiter);
        }
        core.gate.extend(waiter());
        Accepted::Wait
    }
}
