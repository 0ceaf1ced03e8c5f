//! Values of queue arguments that are more than a number.

use std::sync::Arc;

use crate::{exchange::Exchange, name::Realm, queue::Queue, usage::UsageError, wire::ShortString};

/// What a full queue does with the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Drops, or dead-letters, its oldest message. The broker's default.
    DropHead,
    /// Refuses the new message: on a confirming channel it is nacked.
    RejectPublish,
}

impl Overflow {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Overflow::DropHead => "drop-head",
            Overflow::RejectPublish => "reject-publish",
        }
    }
}

/// Which node leads a new quorum queue or stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaderLocator {
    /// The node that the declaring connection is on.
    ClientLocal,
    /// The node that leads fewest, or any when there are many queues.
    Balanced,
}

impl LeaderLocator {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            LeaderLocator::ClientLocal => "client-local",
            LeaderLocator::Balanced => "balanced",
        }
    }
}

/// Where a queue sends messages that were rejected, expired, delivered too often or displaced
/// (<https://www.rabbitmq.com/docs/dlx>).
///
/// One value holds exchange and key, so that there is no key without an exchange.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Open>) -> Result<(), hopmq::Error> {
/// use hopmq::{DeadLetter, Exchange, Queue};
///
/// let dead = chan.declare(Exchange::fanout("dead")).await?;
/// let inbox = Queue::quorum("inbox").delivery_limit(5).dead_letter(DeadLetter::to(&dead));
/// let inbox = chan.declare(inbox).await?;
/// # drop(inbox);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub(super) exchange: ShortString,
    pub(super) realm: Option<Arc<Realm>>,
    pub(super) key: Option<Result<ShortString, UsageError>>,
}

impl DeadLetter {
    /// Sends them to that exchange, under the key they were published with.
    pub fn to<K>(exchange: &Exchange<K>) -> Self {
        DeadLetter {
            exchange: exchange.short_string(),
            realm: exchange.realm().cloned(),
            key: None,
        }
    }

    /// Sends them straight to that queue, by way of the default exchange.
    pub fn to_queue<K>(queue: &Queue<K>) -> Self {
        DeadLetter {
            exchange: ShortString::EMPTY,
            realm: Some(queue.realm().clone()),
            key: Some(Ok(queue.short_string())),
        }
    }

    /// Sends them under this key instead of their own.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        let key = ShortString::new(key.as_ref());
        self.key = Some(key.map_err(UsageError::too_long("dead-letter routing key")));
        self
    }
}
