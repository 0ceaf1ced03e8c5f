//! Looking at the core's state.

use bytes::Bytes;

use super::{
    At, ConnId, Core, Message, Name, Refusal,
    exchange::{Binding, Destination, VHost},
    message,
    peer::Slot,
    queue::{Queue, QueueId},
};
use crate::{
    broker::{
        ConnectionId,
        inspect::{
            BindingInfo, ConnectionInfo, ConsumerInfo, ExchangeInfo, MessageInfo, QueueInfo,
        },
    },
    fsm::Time,
    wire::{MethodId, RawTable},
};

impl Core {
    /// A queue, if there is one of that name.
    pub(crate) fn inspect_queue(
        &mut self,
        vhost: &str,
        name: &str,
        now: Time,
    ) -> Option<QueueInfo> {
        let id = self.queue_named(vhost, name)?;
        self.expire(id, now);
        self.settle_dead(now);
        self.queues.get(&id).map(info)
    }

    /// The queues of a virtual host, by name.
    pub(crate) fn inspect_queues(&mut self, vhost: &str, now: Time) -> Vec<QueueInfo> {
        let ids: Vec<QueueId> = self
            .vhost_named(vhost)
            .map_or_else(Vec::new, |vhost| vhost.queues.values().copied().collect());
        for id in &ids {
            self.expire(*id, now);
        }
        self.settle_dead(now);
        ids.iter().filter_map(|id| self.queues.get(id)).map(info).collect()
    }

    /// The first messages that wait in a queue.
    pub(crate) fn inspect_messages(
        &mut self,
        vhost: &str,
        name: &str,
        most: usize,
        now: Time,
    ) -> Vec<MessageInfo> {
        let Some(id) = self.queue_named(vhost, name) else {
            return Vec::new();
        };
        self.expire(id, now);
        self.settle_dead(now);
        match self.queues.get(&id) {
            None => Vec::new(),
            Some(Queue { log: Some(log), .. }) => {
                log.iter().take(most).map(|message| message_info(message, false)).collect()
            }
            Some(queue) => {
                let entries = queue.ready.iter().take(most);
                entries.map(|entry| message_info(&entry.message, entry.redelivered)).collect()
            }
        }
    }

    /// The bodies of all messages of a queue: those that wait, in order, and then those that are
    /// delivered and not settled. A stream has all that it keeps, and nothing else.
    pub(crate) fn bodies(&self, vhost: &str, name: &str) -> Vec<Bytes> {
        let body = |message: &Message| message.body.pieces().flatten().copied().collect();
        let Some(id) = self.queue_named(vhost, name) else { return Vec::new() };
        let Some(queue) = self.queues.get(&id) else { return Vec::new() };
        if let Some(log) = &queue.log {
            return log.iter().map(|message| body(message)).collect();
        }
        let ready = queue.ready.iter();
        let channels = self.peers.values().flat_map(|peer| peer.channels.values());
        let unsettled = channels.filter_map(|slot| match slot {
            Slot::Open(channel) => Some(channel.unacked.values()),
            Slot::Closing => None,
        });
        let delivered = unsettled.flatten().filter(|unacked| unacked.queue == id);
        let entries = ready.chain(delivered.map(|unacked| &unacked.entry));
        entries.map(|entry| body(&entry.message)).collect()
    }

    /// The bindings of a virtual host, by source.
    pub(crate) fn inspect_bindings(&self, vhost: &str) -> Vec<BindingInfo> {
        let Some(vhost) = self.vhost_named(vhost) else {
            return Vec::new();
        };
        vhost
            .exchanges
            .iter()
            .flat_map(|(source, exchange)| {
                exchange.bindings().iter().map(move |binding| (source, binding))
            })
            .map(|(source, binding)| self.binding(source, binding))
            .collect()
    }

    /// The exchanges of a virtual host, by name.
    pub(crate) fn inspect_exchanges(&self, vhost: &str) -> Vec<ExchangeInfo> {
        let Some(vhost) = self.vhost_named(vhost) else {
            return Vec::new();
        };
        vhost
            .exchanges
            .iter()
            .map(|(name, exchange)| ExchangeInfo {
                name: name.to_string(),
                kind: exchange.kind.name(),
                durable: exchange.durable,
                auto_delete: exchange.auto_delete,
                internal: exchange.internal,
            })
            .collect()
    }

    /// The connections that have opened a virtual host.
    pub(crate) fn inspect_connections(&self) -> Vec<ConnectionInfo> {
        self.peers
            .iter()
            .filter(|(conn, _)| self.is_open(**conn))
            .map(|(conn, peer)| ConnectionInfo {
                id: ConnectionId(*conn),
                user: peer.user.to_string(),
                vhost: self
                    .vhosts
                    .get(peer.vhost)
                    .map_or_else(String::new, |vhost| vhost.name.to_string()),
                channels: peer.channels.keys().copied().collect(),
                blocked: self.is_blocked(*conn),
            })
            .collect()
    }

    /// The virtual hosts, in the order in which they were added.
    pub(crate) fn inspect_vhosts(&self) -> Vec<String> {
        self.vhosts.iter().map(|vhost| vhost.name.to_string()).collect()
    }

    /// The users, by name.
    pub(crate) fn inspect_users(&self) -> Vec<String> {
        self.users.keys().map(Name::to_string).collect()
    }

    /// Octets that all messages take.
    pub(crate) fn stored(&self) -> usize {
        self.stored
    }

    /// Deletes a queue, whoever it belongs to. Tells whether there was one.
    pub(crate) fn remove_queue(&mut self, vhost: &str, name: &str, now: Time) -> bool {
        let Some(id) = self.queue_named(vhost, name) else {
            return false;
        };
        self.delete_queue(id, now);
        true
    }

    /// Cancels the consumers of a queue, as RabbitMQ does when it has to move one.
    pub(crate) fn cancel_consumers(&mut self, vhost: &str, name: &str, now: Time) -> usize {
        let Some(id) = self.queue_named(vhost, name) else {
            return 0;
        };
        let consumers: Vec<_> = self.queues.get(&id).map_or_else(Vec::new, |queue| {
            queue
                .consumers
                .iter()
                .map(|(id, consumer)| (id, consumer.conn, consumer.channel, consumer.tag.clone()))
                .collect()
        });
        for (consumer, conn, channel, tag) in &consumers {
            let at = At { conn: *conn, channel: *channel };
            self.notify_cancel(at, tag);
            self.remove_consumer(id, *consumer, now);
        }
        consumers.len()
    }

    /// Closes an open channel from the broker's side. Tells whether there was one.
    pub(crate) fn close_open_channel(&mut self, at: At, refusal: Refusal, now: Time) -> bool {
        let open = self.channel(at).is_ok();
        if open {
            self.refuse(at, refusal, MethodId::default(), now);
        }
        open
    }

    fn vhost_named(&self, name: &str) -> Option<&VHost> {
        self.vhosts.iter().find(|vhost| vhost.name.as_bytes() == name.as_bytes())
    }

    fn queue_named(&self, vhost: &str, name: &str) -> Option<QueueId> {
        self.vhost_named(vhost)?.queues.get(name.as_bytes()).copied()
    }

    fn binding(&self, source: &Name, binding: &Binding) -> BindingInfo {
        let (destination, to_queue) = match &binding.destination {
            Destination::Exchange(name) => (name.to_string(), false),
            Destination::Queue(id) => {
                (self.queues.get(id).map_or_else(String::new, |queue| queue.name.to_string()), true)
            }
        };
        BindingInfo {
            source: source.to_string(),
            destination,
            to_queue,
            routing_key: binding.key.to_string(),
            arguments: RawTable::new(&binding.arguments).decode().unwrap_or_default(),
        }
    }
}

fn message_info(message: &Message, redelivered: bool) -> MessageInfo {
    let pieces: Vec<&[u8]> = message.body.pieces().map(|piece| piece.as_ref()).collect();
    MessageInfo {
        exchange: message.exchange.to_string(),
        routing_key: message.routing_key.to_string(),
        properties: message::decode(&message.properties).unwrap_or_default(),
        body: pieces.concat().into(),
        redelivered,
    }
}

fn info(queue: &Queue) -> QueueInfo {
    let consumers = queue.consumers.iter().map(|(id, consumer)| ConsumerInfo {
        tag: consumer.tag.to_string(),
        connection: ConnectionId(consumer.conn),
        channel: consumer.channel,
        no_ack: consumer.no_ack,
        exclusive: consumer.exclusive,
        prefetch: consumer.prefetch,
        unacked: consumer.unacked,
        priority: consumer.priority,
        active: queue.consumers.is_served(id),
    });
    QueueInfo {
        name: queue.name.to_string(),
        kind: queue.settings.kind.name(),
        durable: queue.durable,
        auto_delete: queue.auto_delete,
        exclusive: queue.owner.is_some(),
        arguments: queue.arguments.clone(),
        ready: queue.log.as_ref().map_or(queue.ready.len(), super::stream::Log::len),
        unacked: queue.unacked,
        consumers: consumers.collect(),
    }
}

impl ConnectionId {
    pub(in crate::broker) const fn conn(self) -> ConnId {
        self.0
    }
}
