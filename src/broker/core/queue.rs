//! A queue: messages in order, and the consumers that they go to in turn.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    ConnId,
    arguments::Settings,
    message::Message,
    name::Name,
    stream::{Filter, Log},
};
use crate::{fsm::Time, wire::FieldTable};

/// Names a queue for good: ids are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueId(pub(crate) u64);

/// Names a consumer for good, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// A queue of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    pub(crate) name: Name,
    /// Its place in the core's list of virtual hosts.
    pub(crate) vhost: usize,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    /// The connection that it is exclusive to.
    pub(crate) owner: Option<ConnId>,
    pub(crate) arguments: FieldTable,
    pub(crate) settings: Settings,
    pub(crate) ready: Ready,
    /// What a stream has instead of `ready`.
    pub(crate) log: Option<Log>,
    pub(crate) consumers: Consumers,
    /// Delivered and not settled.
    pub(crate) unacked: u64,
    /// Messages that carry a deadline of their own.
    pub(crate) expiring: bool,
    /// When it was last declared, consumed from or polled, for `x-expires`.
    pub(crate) used: Time,
    /// When the core's timer is set for it.
    pub(crate) timer: Option<Time>,
}

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// Its place in the order of the queue, or the offset in a stream.
    pub(crate) place: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) expires: Option<Time>,
    pub(crate) redelivered: bool,
    /// How often it failed and came back, which quorum queues count and limit.
    pub(crate) returns: u32,
    /// How often it came back without that being counted.
    pub(crate) reclaims: u16,
}

/// The messages that wait, by priority, each lane in the order of publishing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ready {
    /// From the lowest priority to the highest; a single one where there are no priorities.
    lanes: Vec<VecDeque<Entry>>,
    len: u64,
    bytes: u64,
    next_place: u64,
}

impl Ready {
    /// Without messages. `max_priority` is that of the queue's arguments.
    pub(crate) fn new(max_priority: Option<u8>) -> Self {
        Ready {
            lanes: vec![VecDeque::new(); usize::from(max_priority.unwrap_or(0)) + 1],
            len: 0,
            bytes: 0,
            next_place: 0,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Body octets of the messages that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a new message.
    /// Returns its place.
    pub(crate) fn publish(&mut self, message: Arc<Message>, expires: Option<Time>) -> u64 {
        let redelivered = message.facts.redelivered;
        let entry = Entry {
            place: self.next_place,
            message,
            expires,
            redelivered,
            returns: 0,
            reclaims: 0,
        };
        self.next_place += 1;
        self.count_in(&entry);
        if let Some(lane) = self.lane(entry.message.facts.priority) {
            lane.push_back(entry);
        }
        self.next_place - 1
    }

    /// Puts back a message that was stored.
    #[cfg_attr(not(feature = "durable"), allow(dead_code))]
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.next_place = self.next_place.max(entry.place + 1);
        self.requeue(entry);
    }

    /// Puts a message back where it was, as far as its neighbours are still there.
    pub(crate) fn requeue(&mut self, entry: Entry) {
        self.count_in(&entry);
        if let Some(lane) = self.lane(entry.message.facts.priority) {
            let at = lane.partition_point(|have| have.place < entry.place);
            lane.insert(at, entry);
        }
    }

    /// Takes the message that goes next.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.lanes.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.count_out(&entry);
        Some(entry)
    }

    /// Takes a head whose time has come. Like RabbitMQ, only heads are looked at.
    pub(crate) fn pop_expired(&mut self, due: impl Fn(Time) -> bool) -> Option<Entry> {
        let entry = self
            .lanes
            .iter_mut()
            .rev()
            .filter(|lane| lane.front().and_then(|head| head.expires).is_some_and(&due))
            .find_map(VecDeque::pop_front)?;
        self.count_out(&entry);
        Some(entry)
    }

    /// When the first of the heads expires.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.lanes.iter().filter_map(|lane| lane.front().and_then(|head| head.expires)).min()
    }

    /// Takes all messages.
    pub(crate) fn purge(&mut self) -> Vec<Entry> {
        self.len = 0;
        self.bytes = 0;
        self.lanes.iter_mut().rev().flat_map(std::mem::take).collect()
    }

    /// The messages that wait, in the order in which they would go.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.lanes.iter().rev().flatten()
    }

    fn lane(&mut self, priority: u8) -> Option<&mut VecDeque<Entry>> {
        let highest = self.lanes.len().saturating_sub(1);
        self.lanes.get_mut(usize::from(priority).min(highest))
    }

    fn count_in(&mut self, entry: &Entry) {
        self.len += 1;
        self.bytes += entry.message.size() as u64;
    }

    fn count_out(&mut self, entry: &Entry) {
        self.len = self.len.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.message.size() as u64);
    }
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Consumer {
    pub(crate) conn: ConnId,
    pub(crate) channel: u16,
    pub(crate) tag: Name,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) priority: i32,
    /// Unsettled deliveries it may have; none is no limit.
    pub(crate) prefetch: u16,
    pub(crate) unacked: u32,
    /// The next offset it reads of a stream.
    pub(crate) offset: u64,
    /// What it wants of a stream; none is everything.
    pub(crate) filter: Option<Arc<Filter>>,
    /// Whether it stands in the ring, waiting for messages.
    waiting: bool,
    /// Whether its channel or connection has noted that it waits for them.
    pub(crate) noted: bool,
}

impl Consumer {
    /// A consumer that has received nothing yet.
    pub(crate) fn new(conn: ConnId, channel: u16, tag: Name) -> Self {
        Consumer {
            conn,
            channel,
            tag,
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: 0,
            unacked: 0,
            offset: 0,
            filter: None,
            waiting: false,
            noted: false,
        }
    }

    /// Whether its own prefetch leaves room.
    pub(crate) fn has_room(&self) -> bool {
        self.prefetch == 0 || self.unacked < u32::from(self.prefetch)
    }
}

/// The consumers of a queue. Those that can take a message stand in rings, one per priority,
/// and are served in turn; one that cannot steps out and comes back when it can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Consumers {
    all: BTreeMap<ConsumerId, Consumer>,
    rings: BTreeMap<Reverse<i32>, VecDeque<ConsumerId>>,
    /// Whether only one at a time is served, and which.
    single: bool,
    active: Option<ConsumerId>,
}

impl Consumers {
    /// Without consumers; `single` is `x-single-active-consumer`.
    pub(crate) fn new(single: bool) -> Self {
        Consumers { single, ..Consumers::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.all.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConsumerId, &Consumer)> {
        self.all.iter().map(|(id, consumer)| (*id, consumer))
    }

    /// Whether somebody waits for messages.
    pub(crate) fn waiting(&self) -> bool {
        !self.rings.is_empty()
    }

    /// Whether this one is served at all: with a single active consumer only that one is.
    pub(crate) fn is_served(&self, id: ConsumerId) -> bool {
        !self.single || self.active == Some(id)
    }

    /// Adds a consumer; it waits for messages.
    pub(crate) fn add(&mut self, id: ConsumerId, consumer: Consumer) {
        self.all.insert(id, consumer);
        if self.single && self.active.is_none() {
            self.active = Some(id);
        }
        self.wait(id);
    }

    /// Removes a consumer. The oldest of the others becomes the single active one after it.
    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.all.remove(&id)?;
        if consumer.waiting {
            self.step_out(id, consumer.priority);
        }
        if self.single && self.active == Some(id) {
            self.active = self.all.keys().next().copied();
            if let Some(next) = self.active {
                self.wait(next);
            }
        }
        Some(consumer)
    }

    /// Puts a consumer into its ring, if it is served and does not stand there.
    pub(crate) fn wait(&mut self, id: ConsumerId) {
        if !self.is_served(id) {
            return;
        }
        if let Some(consumer) = self.all.get_mut(&id)
            && !consumer.waiting
        {
            consumer.waiting = true;
            self.rings.entry(Reverse(consumer.priority)).or_default().push_back(id);
        }
    }

    /// Puts all that are not held back into their rings: something was appended to a stream.
    pub(crate) fn wait_all(&mut self) {
        let idle: Vec<ConsumerId> = self
            .all
            .iter()
            .filter(|(_, consumer)| !consumer.waiting && !consumer.noted && consumer.has_room())
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            self.wait(id);
        }
    }

    /// The next one in turn, of the highest priority that waits. It goes to the end of its ring.
    pub(crate) fn next(&mut self) -> Option<(ConsumerId, &mut Consumer)> {
        let mut ring = self.rings.first_entry()?;
        let id = ring.get_mut().pop_front()?;
        ring.get_mut().push_back(id);
        self.all.get_mut(&id).map(|consumer| (id, consumer))
    }

    /// Takes a consumer out of its ring until `wait` puts it back.
    pub(crate) fn park(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.all.get_mut(&id)
            && std::mem::take(&mut consumer.waiting)
        {
            let priority = consumer.priority;
            self.step_out(id, priority);
        }
    }

    fn step_out(&mut self, id: ConsumerId, priority: i32) {
        if let Some(ring) = self.rings.get_mut(&Reverse(priority)) {
            // It was just served where it is parked, so that it stands at the end.
            if ring.back() == Some(&id) {
                ring.pop_back();
            } else {
                ring.retain(|&have| have != id);
            }
            if ring.is_empty() {
                self.rings.remove(&Reverse(priority));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::core::message::{Body, Facts};

    fn message(size: usize, priority: u8) -> Arc<Message> {
        Arc::new(Message {
            exchange: Name::EMPTY,
            routing_key: Name::EMPTY,
            properties: bytes::Bytes::from_static(&[0, 0]),
            body: Body::from(bytes::Bytes::from(vec![0; size])),
            facts: Facts { priority, ..Facts::default() },
            deaths: Vec::new(),
        })
    }

    #[test]
    fn requeued_messages_return_to_their_places() {
        let mut ready = Ready::new(None);
        for size in 0..6 {
            ready.publish(message(size, 0), None);
        }
        let taken: Vec<Entry> = (0..4).map(|_| ready.pop().unwrap()).collect();
        for index in [2, 0, 3, 1] {
            ready.requeue(taken[index].clone());
        }
        let places: Vec<u64> = ready.iter().map(|entry| entry.place).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        assert_eq!((ready.len(), ready.bytes()), (6, 15));
    }

    #[test]
    fn priorities_go_first_and_are_capped() {
        let mut ready = Ready::new(Some(5));
        for priority in [0, 9, 3, 5, 0] {
            ready.publish(message(1, priority), None);
        }
        let order: Vec<u64> = std::iter::from_fn(|| ready.pop()).map(|entry| entry.place).collect();
        assert_eq!(order, [1, 3, 2, 0, 4]);
    }

    fn consumers(single: bool, priorities: &[i32]) -> Consumers {
        let mut consumers = Consumers::new(single);
        for (index, &priority) in priorities.iter().enumerate() {
            let mut consumer = Consumer::new(ConnId(1), 1, Name::EMPTY);
            consumer.priority = priority;
            consumers.add(ConsumerId(index as u64), consumer);
        }
        consumers
    }

    fn turns(consumers: &mut Consumers, count: usize) -> Vec<u64> {
        (0..count).filter_map(|_| consumers.next().map(|(id, _)| id.0)).collect()
    }

    #[test]
    fn consumers_are_served_in_turn_by_priority() {
        let mut consumers = consumers(false, &[0, 1, 1, 0]);
        assert_eq!(turns(&mut consumers, 3), [1, 2, 1]);
        consumers.park(ConsumerId(1));
        assert_eq!(turns(&mut consumers, 2), [2, 2]);
        consumers.park(ConsumerId(2));
        assert_eq!(turns(&mut consumers, 3), [0, 3, 0]);
        consumers.wait(ConsumerId(2));
        assert_eq!(turns(&mut consumers, 1), [2]);
        for id in 0..4 {
            consumers.remove(ConsumerId(id));
        }
        assert!(!consumers.waiting() && consumers.is_empty());
    }

    #[test]
    fn a_single_active_consumer_is_followed_by_the_oldest() {
        let mut consumers = consumers(true, &[0, 0, 0]);
        assert_eq!(turns(&mut consumers, 2), [0, 0]);
        consumers.remove(ConsumerId(1));
        consumers.remove(ConsumerId(0));
        assert_eq!(turns(&mut consumers, 2), [2, 2]);
    }
}
