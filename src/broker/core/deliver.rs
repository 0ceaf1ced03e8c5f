//! Consuming: subscriptions, prefetch, and the hand-out of messages in turn.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    At, Core, Name, Output, Refusal, Reply,
    arguments::{QueueKind, type_name},
    channel::Unacked,
    peer::Peer,
    queue::{Consumer, ConsumerId, Entry, Queue, QueueId},
    refusal::Entity,
    reply_to::ANY_ADDRESS,
    stream::{Filter, Log, start_of},
    topology::{counted, decode, queue_entity, vhost_name},
};
use crate::{
    broker::permissions::Access,
    fsm::Time,
    wire::{FieldTable, ReplyCode, Value, method::basic},
};

impl Core {
    /// basic.qos. As in RabbitMQ, `global` means the channel and not the connection; without it
    /// the count holds for each consumer that starts later.
    pub(crate) fn qos(&mut self, at: At, method: &basic::Qos, now: Time) -> Result<(), Refusal> {
        if method.prefetch_size != 0 {
            return Err(Refusal::not_implemented(format_args!(
                "prefetch_size!=0 ({})",
                method.prefetch_size
            )));
        }
        let channel = self.channel(at)?;
        if method.global {
            channel.global_prefetch = method.prefetch_count;
        } else {
            channel.prefetch = method.prefetch_count;
            channel.global_prefetch = 0;
        }
        let parked = std::mem::take(&mut channel.parked);
        self.reply(at, Reply::QosOk);
        self.unpark(parked, now);
        Ok(())
    }

    /// basic.consume
    pub(crate) fn consume(
        &mut self,
        at: At,
        method: &basic::Consume<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        let mut tag = Name::from(method.consumer_tag);
        let channel = self.channel(at)?;
        let is_reply = channel.reply_consumer.as_ref().is_some_and(|reply| reply.tag == tag);
        if channel.consumers.contains_key(&tag) || is_reply {
            return Err(Refusal::not_allowed(format_args!(
                "attempt to reuse consumer tag '{tag}'"
            )));
        }
        if tag.is_empty() {
            tag = self.generate_name("amq.ctag-");
        }
        if name == ANY_ADDRESS {
            return self.consume_replies(at, method, tag);
        }
        self.assert_queue(at.conn, Access::Read, &name)?;
        let queue = self.find_queue(at.conn, &name)?;
        let arguments = decode(method.arguments)?;
        let consumer = self.new_consumer(at, queue, method, tag.clone(), &arguments, now)?;
        let id = self.next_consumer();
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.consumers.add(id, consumer);
        }
        self.channel(at)?.consumers.insert(tag.clone(), (queue, id));
        self.touch(queue, now);
        self.answer(at, method.no_wait, Reply::ConsumeOk(tag));
        self.dispatch(queue, now);
        self.settle_dead(now);
        Ok(())
    }

    /// basic.cancel. What was delivered stays unsettled.
    pub(crate) fn cancel(
        &mut self,
        at: At,
        method: &basic::Cancel<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let tag = Name::from(method.consumer_tag);
        if !self.cancel_replies(at, &tag)
            && let Some((queue, consumer)) = self.channel(at)?.consumers.remove(&tag)
        {
            self.remove_consumer(queue, consumer, now);
            self.dispatch(queue, now);
            self.settle_dead(now);
        }
        self.answer(at, method.no_wait, Reply::CancelOk(tag));
        Ok(())
    }

    /// basic.get
    pub(crate) fn get(
        &mut self,
        at: At,
        method: &basic::Get<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        self.assert_queue(at.conn, Access::Read, &name)?;
        let id = self.find_queue(at.conn, &name)?;
        self.touch(id, now);
        self.expire(id, now);
        self.settle_dead(now);
        let Some(queue) = self.queues.get_mut(&id) else {
            return Ok(());
        };
        let vhost = vhost_name(&self.vhosts, queue.vhost);
        assert_polled(queue, queue_entity(&name, &vhost))?;
        match queue.ready.pop() {
            None => self.reply(at, Reply::GetEmpty),
            Some(entry) => {
                let properties = delivery_properties(queue, &entry);
                queue.unacked += u64::from(!method.no_ack);
                // What comes to the head now may be over its time: it does not count.
                self.expire(id, now);
                let remaining = counted(self.queues.get(&id).map_or(0, |queue| queue.ready.len()));
                self.send_polled(at, (id, entry), method.no_ack, remaining, (properties, now))?;
            }
        }
        self.arm(id);
        self.settle_dead(now);
        Ok(())
    }

    fn send_polled(
        &mut self,
        at: At,
        (queue, entry): (QueueId, Entry),
        no_ack: bool,
        remaining: u32,
        (properties, now): (Option<Bytes>, Time),
    ) -> Result<(), Refusal> {
        let channel = self.channel(at)?;
        channel.last_tag += 1;
        let tag = channel.last_tag;
        let output = Output::GetOk {
            channel: at.channel,
            tag,
            redelivered: entry.redelivered,
            remaining,
            message: Arc::clone(&entry.message),
            properties,
        };
        if no_ack {
            self.release(&entry.message);
            self.message_gone(queue, entry.place, &entry.message);
        } else {
            let unacked = Unacked { queue, entry, consumer: None, since: now, of_stream: false };
            channel.unacked.insert(tag, unacked);
            self.watch_acknowledgements(now);
        }
        self.push(at.conn, output);
        Ok(())
    }

    /// Takes a consumer from its queue. A queue that deletes itself goes with the last one.
    pub(super) fn remove_consumer(&mut self, id: QueueId, consumer: ConsumerId, now: Time) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        queue.consumers.remove(consumer);
        queue.used = now;
        if queue.consumers.is_empty() && queue.auto_delete {
            self.delete_queue(id, now);
        } else {
            self.arm(id);
        }
    }

    /// Hands out what waits in a queue to those who wait for it.
    pub(super) fn dispatch(&mut self, id: QueueId, now: Time) {
        let limit = self.limits.backlog;
        let Core { queues, peers, wakes, stored, dead, durable, .. } = self;
        let Some(queue) = queues.get_mut(&id) else {
            return;
        };
        let durable_queue = queue.durable;
        while queue.consumers.waiting() {
            if queue.expiring {
                while let Some(entry) = queue.ready.pop_expired(|due| due < now) {
                    dead.push_back(super::Dead::of_entry(
                        id,
                        entry,
                        super::dead_letter::Reason::Expired,
                    ));
                }
            }
            if queue.log.is_none() && queue.ready.is_empty() {
                break;
            }
            let Some((consumer_id, consumer)) = queue.consumers.next() else {
                break;
            };
            let at = At { conn: consumer.conn, channel: consumer.channel };
            let ready = consumer.has_room()
                && peers
                    .get_mut(&at.conn)
                    .is_some_and(|peer| has_room(peer, consumer, limit, (id, consumer_id)));
            if !ready {
                queue.consumers.park(consumer_id);
                continue;
            }
            let Some((consumer, parcel)) = take(queue, consumer_id) else {
                // A stream's consumer that has read all there is.
                queue.consumers.park(consumer_id);
                continue;
            };
            let kept = durable_queue && !parcel.of_stream;
            let Some(peer) = peers.get_mut(&at.conn) else {
                continue;
            };
            if consumer.no_ack {
                *stored = stored.saturating_sub(parcel.entry.message.cost());
                if let Some(durable) = durable.as_mut().filter(|_| kept) {
                    durable.gone(id, parcel.entry.place);
                }
            }
            hand(peer, at, (id, consumer_id), consumer, (parcel, now), wakes);
        }
        let (expiring, unacked) = (queue.expiring, queue.unacked > 0);
        if expiring {
            self.arm(id);
        }
        if unacked {
            self.watch_acknowledgements(now);
        }
    }

    fn new_consumer(
        &self,
        at: At,
        id: QueueId,
        method: &basic::Consume<'_>,
        tag: Name,
        arguments: &FieldTable,
        now: Time,
    ) -> Result<Consumer, Refusal> {
        let channel =
            self.peers.get(&at.conn).and_then(|peer| match peer.channels.get(&at.channel) {
                Some(super::peer::Slot::Open(channel)) => Some(channel),
                _ => None,
            });
        let (Some(queue), Some(channel)) = (self.queues.get(&id), channel) else {
            return Err(Refusal::new(ReplyCode::INTERNAL_ERROR, "the channel is not open"));
        };
        let vhost = vhost_name(&self.vhosts, queue.vhost);
        let entity = queue_entity(&queue.name, &vhost);
        let mut consumer = Consumer::new(at.conn, at.channel, tag);
        consumer.no_ack = method.no_ack;
        consumer.exclusive = method.exclusive;
        consumer.prefetch = channel.prefetch;
        consumer.priority = priority_of(entity, queue.settings.kind, arguments)?;
        assert_global_prefetch(entity, queue.settings.kind, channel.global_prefetch)?;
        match &queue.log {
            Some(log) => {
                assert_stream_consumer(entity, &consumer)?;
                consumer.filter = Filter::read(arguments).map(Arc::new);
                consumer.offset = log.start(start_of(entity, arguments, now, self.epoch)?);
            }
            None => assert_not_exclusive(entity, queue, method.exclusive)?,
        }
        Ok(consumer)
    }
}

/// Whether the channel and the connection leave room. Where not, the consumer is noted there,
/// to be called when they do.
fn has_room(
    peer: &mut Peer,
    consumer: &mut Consumer,
    limit: usize,
    who: (QueueId, ConsumerId),
) -> bool {
    let waits_in = if !peer.has_room(limit) {
        &mut peer.parked
    } else {
        match peer.channel(consumer.channel) {
            Some(channel) if channel.has_room() => return true,
            Some(channel) => &mut channel.parked,
            None => return false,
        }
    };
    if !std::mem::replace(&mut consumer.noted, true) {
        waits_in.push(who);
    }
    false
}

/// A message on its way to a consumer.
struct Parcel {
    entry: Entry,
    /// Properties that differ from the message's own.
    properties: Option<Bytes>,
    of_stream: bool,
}

/// Takes the next message for a consumer, and counts it.
fn take(queue: &mut Queue, id: ConsumerId) -> Option<(&Consumer, Parcel)> {
    let parcel = match &queue.log {
        Some(log) => {
            let consumer = queue.consumers.get_mut(id)?;
            match read(log, consumer.offset, consumer.filter.as_deref()) {
                Some(parcel) => parcel,
                None => {
                    // All that is there was looked at, and need not be again.
                    consumer.offset = consumer.offset.max(log.end());
                    return None;
                }
            }
        }
        None => {
            let entry = queue.ready.pop()?;
            let properties = delivery_properties(queue, &entry);
            Parcel { entry, properties, of_stream: false }
        }
    };
    let consumer = queue.consumers.get_mut(id)?;
    if parcel.of_stream {
        consumer.offset = parcel.entry.place + 1;
    }
    if !consumer.no_ack {
        consumer.unacked += 1;
        queue.unacked += 1;
    }
    Some((consumer, parcel))
}

fn read(log: &Log, offset: u64, filter: Option<&Filter>) -> Option<Parcel> {
    let (offset, message) = log.read(offset, filter)?;
    let header = Value::I64(i64::try_from(offset).unwrap_or(i64::MAX));
    let properties = Some(message.stream_properties(header));
    let message = Arc::clone(message);
    let entry = Entry {
        place: offset,
        message,
        expires: None,
        redelivered: false,
        returns: 0,
        reclaims: 0,
    };
    Some(Parcel { entry, properties, of_stream: true })
}

/// What a quorum queue adds to the headers of a message that came back.
fn delivery_properties(queue: &Queue, entry: &Entry) -> Option<Bytes> {
    let acquired = i64::from(entry.returns) + i64::from(entry.reclaims);
    if queue.settings.kind != QueueKind::Quorum || acquired == 0 {
        return None;
    }
    let counts = [("x-delivery-count", i64::from(entry.returns)), ("x-acquired-count", acquired)];
    let added = counts.into_iter().filter(|(_, count)| *count > 0);
    Some(entry.message.properties_with(added.map(|(name, count)| (name, Value::I64(count)))))
}

/// Sends a message to a consumer, and keeps it until it is settled.
fn hand(
    peer: &mut Peer,
    at: At,
    (queue, id): (QueueId, ConsumerId),
    consumer: &Consumer,
    (Parcel { entry, properties, of_stream }, now): (Parcel, Time),
    wakes: &mut Vec<super::ConnId>,
) {
    let Some(channel) = peer.channel(at.channel) else {
        return;
    };
    channel.last_tag += 1;
    let output = Output::Deliver {
        channel: at.channel,
        consumer: consumer.tag.clone(),
        tag: channel.last_tag,
        redelivered: entry.redelivered,
        message: Arc::clone(&entry.message),
        properties,
    };
    if !consumer.no_ack {
        channel.to_consumers += 1;
        let unacked = Unacked { queue, entry, consumer: Some(id), since: now, of_stream };
        channel.unacked.insert(channel.last_tag, unacked);
    }
    peer.push(at.conn, output, wakes);
}

fn assert_polled(queue: &Queue, entity: Entity<'_>) -> Result<(), Refusal> {
    if queue.settings.kind == QueueKind::Stream {
        return Err(Refusal::not_implemented(format_args!(
            "basic.get not supported by stream queues {entity}"
        )));
    }
    if queue.settings.single_active && queue.settings.kind == QueueKind::Quorum {
        return Err(Refusal::new(
            ReplyCode::RESOURCE_LOCKED,
            format_args!(
                "cannot obtain access to locked {entity}. basic.get operations are not supported \
                 by <<\"{}\">> queues with single active consumer",
                queue.settings.kind.name()
            ),
        ));
    }
    Ok(())
}

fn priority_of(
    entity: Entity<'_>,
    kind: QueueKind,
    arguments: &FieldTable,
) -> Result<i32, Refusal> {
    let (foreign, module) = match kind {
        QueueKind::Classic => (STREAM_ARGUMENTS, "rabbit_classic_queue"),
        QueueKind::Quorum => (STREAM_ARGUMENTS, "rabbit_quorum_queue"),
        QueueKind::Stream => (&["x-priority"][..], "rabbit_stream_queue"),
    };
    if let Some(foreign) = foreign.iter().find(|name| arguments.get(name).is_some()) {
        return Err(Refusal::precondition(format_args!(
            "invalid arg '{foreign}' for {entity} of queue type {module}"
        )));
    }
    match arguments.get("x-priority") {
        None => Ok(0),
        Some(value) => match value.as_i64() {
            Some(priority) => Ok(i32::try_from(priority).unwrap_or(if priority < 0 {
                i32::MIN
            } else {
                i32::MAX
            })),
            None => Err(Refusal::precondition(format_args!(
                "invalid arg 'x-priority' for {entity}: \"expected integer, got {}\"",
                type_name(value)
            ))),
        },
    }
}

fn assert_global_prefetch(entity: Entity<'_>, kind: QueueKind, global: u16) -> Result<(), Refusal> {
    if kind == QueueKind::Classic || global == 0 {
        return Ok(());
    }
    Err(Refusal::not_implemented(format_args!("{entity} does not support global qos")))
}

fn assert_stream_consumer(entity: Entity<'_>, consumer: &Consumer) -> Result<(), Refusal> {
    if consumer.prefetch == 0 {
        return Err(Refusal::precondition(format_args!(
            "consumer prefetch count is not set for stream {entity}"
        )));
    }
    if consumer.no_ack {
        return Err(Refusal::not_implemented(format_args!(
            "automatic acknowledgement not supported by stream {entity}"
        )));
    }
    Ok(())
}

fn assert_not_exclusive(entity: Entity<'_>, queue: &Queue, exclusive: bool) -> Result<(), Refusal> {
    let held = queue.consumers.iter().any(|(_, consumer)| consumer.exclusive);
    if held || (exclusive && !queue.consumers.is_empty()) {
        return Err(Refusal::access(format_args!("{entity} in exclusive use")));
    }
    Ok(())
}

/// What only consumers of streams may say.
const STREAM_ARGUMENTS: &[&str] =
    &["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];
