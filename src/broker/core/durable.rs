//! What is to outlive the broker: which changes are to be stored, in batches, and who waits for
//! a batch. Pure: the store is elsewhere, and says when a batch is safe.
//!
//! All that changes until the store asks again is one batch, and one commit of the store: a
//! publish is confirmed when its batch is stored, so confirms stay as many to a frame as they are
//! without a store. A message that came and went within a batch is never written.
#![cfg_attr(not(feature = "durable"), allow(dead_code))]

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut, Bytes};

use super::{
    At, Core, Message, Name, Output, Reply,
    arguments::{QueueKind, Settings},
    exchange::{Binding, Destination, Exchange, ExchangeKind},
    message::{self, Body, Death},
    queue::{Consumers, Entry, Queue, QueueId, Ready},
    stream::Log,
    topology::queue_entity,
};
use crate::{
    fsm::Time,
    wire::{FieldTable, RawTable},
};

/// Changes that are not stored, and who waits for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Durable {
    /// The number of the batch that gathers, and of the last one that is stored.
    batch: u64,
    stored: u64,
    topology: bool,
    messages: BTreeMap<(QueueId, u64), Option<Kept>>,
    queues: Vec<QueueId>,
    /// Somebody waits for the batch that gathers.
    awaited: bool,
    /// Commits of transactions that are answered when their batch is stored.
    waiting: Vec<(u64, At)>,
}

/// A message as it is to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    message: Arc<Message>,
    /// When it expires, in milliseconds since 1970.
    expires: Option<u64>,
}

/// Changes that are stored together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// All exchanges, queues and bindings, where any of them changed.
    pub(crate) topology: Option<Vec<u8>>,
    /// Messages that came, or are gone, by queue and place.
    pub(crate) messages: BTreeMap<(QueueId, u64), Option<Kept>>,
    /// Queues that are gone with all their messages.
    pub(crate) queues: Vec<QueueId>,
}

impl Batch {
    /// Whether nothing is left to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.topology.is_none() && self.messages.is_empty() && self.queues.is_empty()
    }
}

/// What was stored does not read as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unreadable;

impl Durable {
    fn is_idle(&self) -> bool {
        !self.topology && !self.awaited && self.messages.is_empty() && self.queues.is_empty()
    }
}

/// Noting changes.
impl Core {
    /// From now on changes are noted.
    pub(crate) fn keep(&mut self) {
        self.durable = Some(Box::new(Durable { batch: 1, ..Durable::default() }));
    }

    /// Exchanges, queues or bindings have changed.
    pub(super) fn topology_changed(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.topology = true;
        }
    }

    /// A message was put into a queue.
    pub(super) fn message_came(
        &mut self,
        id: QueueId,
        place: u64,
        message: &Arc<Message>,
        now: Time,
    ) {
        let Some(durable) = &mut self.durable else { return };
        let Some(queue) = self.queues.get(&id).filter(|queue| queue.keeps(message)) else {
            return;
        };
        let expires = queue.expiry_of(message, now).map(|at| {
            let after = at.saturating_since(Time::ZERO).as_millis();
            self.epoch * 1000 + u64::try_from(after).unwrap_or(u64::MAX / 2)
        });
        let kept = Kept { message: Arc::clone(message), expires };
        durable.messages.insert((id, place), Some(kept));
    }

    /// A message has left a queue for good.
    pub(super) fn message_gone(&mut self, id: QueueId, place: u64, message: &Message) {
        if let Some(durable) = &mut self.durable
            && self.queues.get(&id).is_some_and(|queue| queue.keeps(message))
        {
            durable.gone(id, place);
        }
    }

    /// A queue is gone.
    pub(super) fn queue_gone(&mut self, id: QueueId) {
        if let Some(durable) = &mut self.durable {
            let came: Vec<_> =
                durable.messages.range((id, 0)..=(id, u64::MAX)).map(|(key, _)| *key).collect();
            came.iter().for_each(|key| drop(durable.messages.remove(key)));
            durable.queues.push(id);
            durable.topology = true;
        }
    }

    /// The batch that has to be stored for what was done last; zero where nothing has. Whoever
    /// asks waits for it, so it is stored even where nothing is left of it then.
    pub(super) fn pending_batch(&mut self) -> u64 {
        match &mut self.durable {
            Some(durable) if !durable.is_idle() => {
                durable.awaited = true;
                durable.batch
            }
            _ => 0,
        }
    }

    /// The last batch that is stored.
    pub(super) fn stored_batch(&self) -> u64 {
        self.durable.as_ref().map_or(u64::MAX, |durable| durable.stored)
    }

    /// Answers a commit when what it did is stored.
    pub(super) fn answer_commit(&mut self, at: At) {
        let pending = self.pending_batch();
        match &mut self.durable {
            Some(durable) if durable.stored < pending => durable.waiting.push((pending, at)),
            _ => self.reply(at, Reply::TxCommitOk),
        }
    }
}

impl Durable {
    pub(super) fn gone(&mut self, id: QueueId, place: u64) {
        match self.messages.get(&(id, place)) {
            // It came in this batch: the store never hears of it.
            Some(Some(_)) => drop(self.messages.remove(&(id, place))),
            _ => drop(self.messages.insert((id, place), None)),
        }
    }
}

impl Queue {
    /// Whether a message in it outlives the broker (RabbitMQ: persistent messages in durable
    /// queues, and all messages in quorum queues and streams).
    pub(super) fn keeps(&self, message: &Message) -> bool {
        self.durable && (message.facts.persistent || self.settings.kind != QueueKind::Classic)
    }
}

/// The store's side.
impl Core {
    /// Whether there is something to be stored.
    pub(crate) fn has_batch(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| !durable.is_idle())
    }

    /// What is to be stored together next.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        if !self.has_batch() {
            return None;
        }
        let changed = self.durable.as_ref().is_some_and(|durable| durable.topology);
        let topology = changed.then(|| self.write_topology());
        let durable = self.durable.as_mut()?;
        durable.topology = false;
        durable.awaited = false;
        let number = durable.batch;
        durable.batch += 1;
        let messages = std::mem::take(&mut durable.messages);
        Some(Batch { number, topology, messages, queues: std::mem::take(&mut durable.queues) })
    }

    /// A batch is stored: whoever waited for it is told.
    pub(crate) fn batch_stored(&mut self, number: u64, now: Time) {
        let Some(durable) = &mut self.durable else { return };
        durable.stored = number;
        let waiting = std::mem::take(&mut durable.waiting);
        let (told, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(batch, _)| *batch <= number);
        durable.waiting = still;
        for (_, at) in told {
            if self.channel(at).is_ok() {
                self.push(at.conn, Output::Reply(at.channel, Reply::TxCommitOk));
            }
        }
        self.flush_all(now);
    }

    /// Every durable exchange, queue and binding.
    fn write_topology(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_count(&mut out, self.vhosts.len());
        for vhost in &self.vhosts {
            put(&mut out, vhost.name.as_bytes());
            let exchanges = || vhost.exchanges.iter().filter(|(_, exchange)| exchange.durable);
            put_count(&mut out, exchanges().count());
            for (name, exchange) in exchanges() {
                put(&mut out, name.as_bytes());
                put(&mut out, exchange.kind.name().as_bytes());
                out.put_u8(u8::from(exchange.auto_delete) | u8::from(exchange.internal) << 1);
                put(&mut out, &exchange.arguments.encode());
            }
            let queues = || {
                self.queues
                    .iter()
                    .filter(|(_, queue)| queue.durable)
                    .filter(|(id, queue)| vhost.queues.get(&queue.name) == Some(*id))
            };
            put_count(&mut out, queues().count());
            for (id, queue) in queues() {
                out.put_u64(id.0);
                put(&mut out, queue.name.as_bytes());
                out.put_u8(u8::from(queue.auto_delete));
                put(&mut out, &queue.arguments.encode());
            }
            let bindings = || {
                exchanges().flat_map(|(source, exchange)| {
                    exchange.bindings().iter().map(move |binding| (source, binding))
                })
            };
            // Those to what is not durable go with it: that is looked at when they are read.
            put_count(&mut out, bindings().count());
            for (source, binding) in bindings() {
                put(&mut out, source.as_bytes());
                match &binding.destination {
                    Destination::Queue(id) => {
                        out.put_u8(0);
                        put(&mut out, &id.0.to_be_bytes());
                    }
                    Destination::Exchange(name) => {
                        out.put_u8(1);
                        put(&mut out, name.as_bytes());
                    }
                }
                put(&mut out, binding.key.as_bytes());
                put(&mut out, &binding.arguments);
            }
        }
        out
    }

    /// Brings back what `write_topology` wrote.
    pub(crate) fn restore_topology(&mut self, stored: &[u8]) -> Result<(), Unreadable> {
        let mut from = Reader(stored);
        for _ in 0..from.count()? {
            let vhost = from.name()?;
            self.add_vhost(&vhost.to_string());
            let index = self.vhost_index(&vhost).ok_or(Unreadable)?;
            for _ in 0..from.count()? {
                let name = from.name()?;
                let kind = ExchangeKind::read(from.bytes()?).map_err(|_| Unreadable)?;
                let flags = from.octet()?;
                let mut exchange = Exchange::new(kind, from.table()?);
                exchange.durable = true;
                exchange.auto_delete = flags & 1 != 0;
                exchange.internal = flags & 2 != 0;
                let vhost = self.vhosts.get_mut(index).ok_or(Unreadable)?;
                vhost.exchanges.insert(name, exchange);
            }
            for _ in 0..from.count()? {
                self.restore_queue(index, &vhost, &mut from)?;
            }
            for _ in 0..from.count()? {
                self.restore_binding(index, &mut from)?;
            }
        }
        Ok(())
    }

    fn restore_queue(
        &mut self,
        index: usize,
        vhost: &Name,
        from: &mut Reader<'_>,
    ) -> Result<(), Unreadable> {
        let id = QueueId(from.number()?);
        let name = from.name()?;
        let auto_delete = from.octet()? != 0;
        let arguments = from.table()?;
        let settings =
            Settings::read(queue_entity(&name, vhost), &arguments).map_err(|_| Unreadable)?;
        let queue = Queue {
            name: name.clone(),
            vhost: index,
            durable: true,
            auto_delete,
            owner: None,
            arguments,
            ready: Ready::new(settings.max_priority),
            log: (settings.kind == QueueKind::Stream).then(Log::default),
            consumers: Consumers::new(settings.single_active),
            unacked: 0,
            expiring: settings.message_ttl.is_some(),
            settings,
            used: Time::ZERO,
            timer: None,
        };
        self.last_queue = self.last_queue.max(id.0);
        self.queues.insert(id, queue);
        let vhost = self.vhosts.get_mut(index).ok_or(Unreadable)?;
        vhost.queues.insert(name, id);
        self.arm(id);
        Ok(())
    }

    fn restore_binding(&mut self, index: usize, from: &mut Reader<'_>) -> Result<(), Unreadable> {
        let source = from.name()?;
        let to_exchange = from.octet()? != 0;
        let destination = from.bytes()?;
        let key = from.name()?;
        let arguments = from.bytes()?;
        let vhost = self.vhosts.get_mut(index).ok_or(Unreadable)?;
        let destination = if to_exchange {
            Destination::Exchange(Name::copy(destination))
        } else {
            let id = destination.try_into().map_err(|_| Unreadable)?;
            Destination::Queue(QueueId(u64::from_be_bytes(id)))
        };
        let is_there = match &destination {
            Destination::Exchange(name) => vhost.exchanges.contains_key(name),
            Destination::Queue(id) => self.queues.contains_key(id),
        };
        if is_there {
            let table = RawTable::new(arguments).decode().map_err(|_| Unreadable)?;
            let binding =
                Binding { destination, key, arguments: Bytes::copy_from_slice(arguments) };
            vhost.bind(&source, binding, &table).map_err(|_| Unreadable)?;
        }
        Ok(())
    }

    /// Brings back a message. Those of a queue come by place. A message of a queue that is not
    /// there is passed over: the queue went in a batch that was stored.
    pub(crate) fn restore_message(
        &mut self,
        id: QueueId,
        place: u64,
        stored: &[u8],
    ) -> Result<(), Unreadable> {
        let Kept { message, expires } = Kept::read(stored)?;
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(()) };
        self.stored += message.cost();
        if let Some(log) = &mut queue.log {
            log.restore(message, place, &queue.settings.retention);
            return Ok(());
        }
        let origin = self.epoch * 1000;
        let expires = expires
            .map(|at| Time::ZERO + std::time::Duration::from_millis(at.saturating_sub(origin)));
        queue.expiring |= expires.is_some();
        // A consumer may have had it before: nobody knows any more.
        queue.ready.restore(Entry {
            place,
            message,
            expires,
            redelivered: true,
            returns: 0,
            reclaims: 0,
        });
        self.arm(id);
        Ok(())
    }
}

impl Kept {
    /// As it is stored.
    pub(crate) fn write(&self) -> Vec<u8> {
        let message = &*self.message;
        let mut out = Vec::with_capacity(message.cost());
        out.put_u64(self.expires.unwrap_or(0));
        put(&mut out, message.exchange.as_bytes());
        put(&mut out, message.routing_key.as_bytes());
        put(&mut out, &message.properties);
        put_count(&mut out, message.body.len());
        message.body.pieces().for_each(|piece| out.put_slice(piece));
        put_count(&mut out, message.facts.open_copies);
        put_count(&mut out, message.facts.copies.len());
        message.facts.copies.iter().for_each(|name| put(&mut out, name.as_bytes()));
        put_count(&mut out, message.deaths.len());
        for death in &message.deaths {
            out.put_u64(death.count);
            put(&mut out, death.reason.as_bytes());
            put(&mut out, death.queue.as_bytes());
            out.put_u64(death.time);
            put(&mut out, death.exchange.as_bytes());
            put_count(&mut out, death.routing_keys.len());
            death.routing_keys.iter().for_each(|name| put(&mut out, name.as_bytes()));
            out.put_u64(death.original_expiration.map_or(u64::MAX, |expiration| expiration));
        }
        out
    }

    fn read(stored: &[u8]) -> Result<Self, Unreadable> {
        let mut from = Reader(stored);
        let expires = Some(from.number()?).filter(|at| *at > 0);
        let exchange = from.name()?;
        let routing_key = from.name()?;
        let properties = Bytes::copy_from_slice(from.bytes()?);
        let body = Body::from(Bytes::copy_from_slice(from.bytes()?));
        let (mut facts, _) = message::facts(&properties).map_err(|_| Unreadable)?;
        facts.open_copies = from.count()?;
        facts.copies = from.names()?;
        let mut deaths = Vec::new();
        for _ in 0..from.count()? {
            deaths.push(Death {
                count: from.number()?,
                reason: super::dead_letter::reason(from.bytes()?).ok_or(Unreadable)?,
                queue: from.name()?,
                time: from.number()?,
                exchange: from.name()?,
                routing_keys: from.names()?,
                original_expiration: Some(from.number()?).filter(|at| *at != u64::MAX),
            });
        }
        let message = Message { exchange, routing_key, properties, body, facts, deaths };
        Ok(Kept { message: Arc::new(message), expires })
    }
}

fn put(out: &mut Vec<u8>, octets: &[u8]) {
    put_count(out, octets.len());
    out.put_slice(octets);
}

/// Nothing that is counted comes near to this: messages are limited to 512 MiB.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

/// Reads what was stored, and goes nowhere beyond its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn octet(&mut self) -> Result<u8, Unreadable> {
        self.take(1)?.first().copied().ok_or(Unreadable)
    }

    fn count(&mut self) -> Result<usize, Unreadable> {
        let octets = self.take(4)?.try_into().map_err(|_| Unreadable)?;
        usize::try_from(u32::from_be_bytes(octets)).map_err(|_| Unreadable)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        self.take(8)?.try_into().map(u64::from_be_bytes).map_err(|_| Unreadable)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let count = self.count()?;
        self.take(count)
    }

    fn name(&mut self) -> Result<Name, Unreadable> {
        self.bytes().map(Name::copy)
    }

    fn names(&mut self) -> Result<Vec<Name>, Unreadable> {
        let count = self.count()?;
        (0..count).map(|_| self.name()).collect()
    }

    fn table(&mut self) -> Result<FieldTable, Unreadable> {
        RawTable::new(self.bytes()?).decode().map_err(|_| Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_garbled_is_refused_and_nothing_panics() {
        let message = Message {
            exchange: Name::from("orders"),
            routing_key: Name::from("eu"),
            properties: Bytes::from_static(&[0, 0]),
            body: Body::from(Bytes::from_static(b"12 apples")),
            facts: message::Facts { copies: vec![Name::from("us")], ..Default::default() },
            deaths: Vec::new(),
        };
        let kept = Kept { message: Arc::new(message), expires: Some(7) };
        let written = kept.write();
        let read = Kept::read(&written).unwrap();
        assert_eq!((read.message, read.expires), (kept.message, kept.expires));
        for end in 0..written.len() {
            assert!(Kept::read(&written[..end]).is_err());
        }
        for at in 0..written.len() {
            let mut garbled = written.clone();
            garbled[at] ^= 0xff;
            let _ = Kept::read(&garbled);
        }
    }

    #[test]
    fn what_comes_and_goes_in_one_batch_is_never_written() {
        let mut durable = Durable::default();
        let message = Arc::new(Message {
            exchange: Name::EMPTY,
            routing_key: Name::EMPTY,
            properties: Bytes::new(),
            body: Body::default(),
            facts: message::Facts::default(),
            deaths: Vec::new(),
        });
        durable.messages.insert((QueueId(1), 5), Some(Kept { message, expires: None }));
        durable.gone(QueueId(1), 5);
        assert!(durable.is_idle());
        durable.gone(QueueId(1), 4);
        assert!(!durable.is_idle());
    }
}
