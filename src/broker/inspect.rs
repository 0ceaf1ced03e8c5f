//! What a broker holds, for tests and tools to look at.

use bytes::Bytes;

use super::{Broker, BrokerState, ConnectionId, HoldsState};
use crate::wire::{FieldTable, Properties};

/// A queue as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// `classic`, `quorum` or `stream`.
    pub kind: &'static str,
    /// It was declared durable.
    pub durable: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// It belongs to one connection.
    pub exclusive: bool,
    /// The arguments it was declared with.
    pub arguments: FieldTable,
    /// Messages that wait in it; of a stream, all that are kept.
    pub ready: u64,
    /// Messages that were delivered and not settled.
    pub unacked: u64,
    /// Its consumers, the oldest first.
    pub consumers: Vec<ConsumerInfo>,
}

/// A consumer of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its tag.
    pub tag: String,
    /// The connection it is on.
    pub connection: ConnectionId,
    /// The channel it is on.
    pub channel: u16,
    /// Deliveries to it need no acknowledgement.
    pub no_ack: bool,
    /// It is the queue's only consumer by its own wish.
    pub exclusive: bool,
    /// Deliveries it may have unsettled; zero is no limit.
    pub prefetch: u16,
    /// Deliveries it has unsettled.
    pub unacked: u32,
    /// Its priority.
    pub priority: i32,
    /// Whether it is served: not so while another one is the single active consumer.
    pub active: bool,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindingInfo {
    /// The exchange that messages come from.
    pub source: String,
    /// The queue or exchange that they go to.
    pub destination: String,
    /// Whether the destination is a queue.
    pub to_queue: bool,
    /// The binding key.
    pub routing_key: String,
    /// The arguments, with their names in order.
    pub arguments: FieldTable,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeInfo {
    /// Its name, empty for the default one.
    pub name: String,
    /// `direct`, `fanout`, `topic` or `headers`.
    pub kind: &'static str,
    /// It was declared durable.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
}

/// A message that waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// The exchange it was published to, empty for the default one.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// Its properties, with `x-death` where it was dead-lettered.
    pub properties: Properties,
    /// Its body.
    pub body: Bytes,
    /// A consumer has had it before.
    pub redelivered: bool,
}

/// A connection that has opened a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Names it for as long as the broker runs.
    pub id: ConnectionId,
    /// The user who logged in.
    pub user: String,
    /// The virtual host.
    pub vhost: String,
    /// The numbers of its channels.
    pub channels: Vec<u16>,
    /// Whether it is blocked, since it publishes while memory is short.
    pub blocked: bool,
}

impl<S: BrokerState> Broker<S> {
    /// A queue, if there is one of that name.
    pub fn queue(&self, vhost: &str, name: &str) -> Option<QueueInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, now| core.inspect_queue(vhost, name, now))
    }

    /// The queues of a virtual host, by name.
    pub fn queues(&self, vhost: &str) -> Vec<QueueInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, now| core.inspect_queues(vhost, now))
    }

    /// The first messages that wait in a queue, at most that many, in the order in which they would
    /// go; none where there is no such queue. They stay where they are.
    pub fn messages(&self, vhost: &str, name: &str, most: usize) -> Vec<MessageInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, now| core.inspect_messages(vhost, name, most, now))
    }

    /// Messages that wait in a queue, if there is one of that name.
    pub fn queue_depth(&self, vhost: &str, name: &str) -> Option<u64>
    where
        Self: HoldsState,
    {
        self.queue(vhost, name).map(|queue| queue.ready)
    }

    /// Messages of a queue that were delivered and not settled, if there is one of that name.
    pub fn unacked(&self, vhost: &str, name: &str) -> Option<u64>
    where
        Self: HoldsState,
    {
        self.queue(vhost, name).map(|queue| queue.unacked)
    }

    /// The consumers of a queue, the oldest first; none where there is no such queue.
    pub fn consumers(&self, vhost: &str, name: &str) -> Vec<ConsumerInfo>
    where
        Self: HoldsState,
    {
        self.queue(vhost, name).map_or_else(Vec::new, |queue| queue.consumers)
    }

    /// The bindings of a virtual host, by source. Those that every queue has to the default
    /// exchange are not among them.
    pub fn bindings(&self, vhost: &str) -> Vec<BindingInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.inspect_bindings(vhost))
    }

    /// The exchanges of a virtual host, by name.
    pub fn exchanges(&self, vhost: &str) -> Vec<ExchangeInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.inspect_exchanges(vhost))
    }

    /// The connections that have opened a virtual host, the oldest first.
    pub fn connections(&self) -> Vec<ConnectionInfo>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.inspect_connections())
    }

    /// The virtual hosts, in the order in which they were added; `/` is the first.
    pub fn vhosts(&self) -> Vec<String>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.inspect_vhosts())
    }

    /// The names of the users, in order.
    pub fn users(&self) -> Vec<String>
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.inspect_users())
    }

    /// Octets that all messages take, waiting and unsettled ones.
    pub fn stored(&self) -> usize
    where
        Self: HoldsState,
    {
        self.holding().shared.with(None, |core, _| core.stored())
    }
}
