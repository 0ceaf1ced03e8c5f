//! Random calls, and after each what must hold of the whole state. A failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    At, Body, ChannelState, ConnId, Content, Core, Introduction, Limits, Name, User,
    channel::{Mode, Unacked},
    exchange::Destination,
    mixed,
    peer::{Peer, Slot},
};
use crate::{
    fsm::Time,
    wire::{
        FieldTable, MethodId, RawTable, ShortStr, Value,
        method::{basic, confirm, exchange, queue},
    },
};

#[test]
fn random_calls_keep_the_books() {
    for seed in 0..150 {
        let mut play = Play::new(seed);
        for step in 0..400 {
            let call = play.step();
            if let Err(wrong) = check(&play.core) {
                panic!("seed {seed}, step {step}, after {call}: {wrong}");
            }
        }
    }
}

struct Play {
    core: Core,
    random: u64,
    now: Time,
    conns: u64,
}

const QUEUES: [&str; 5] = ["a", "b", "c", "d", "e"];
const EXCHANGES: [&str; 4] = ["x", "y", "z", "amq.topic"];

impl Play {
    fn new(seed: u64) -> Self {
        let limits = Limits { backlog: 3_000, memory: Some(50_000), ..Limits::default() };
        let mut core = Core::new(limits, 1_000, seed);
        core.add_user(
            "u",
            User { password: Vec::new(), permissions: crate::broker::Permissions::all() },
        );
        let mut play = Play { core, random: seed, now: Time::from_secs(1), conns: 0 };
        play.connect();
        play
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.random = mixed(self.random);
        (self.random >> 11) % sides
    }

    fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }

    fn pick(&mut self, from: &[&'static str]) -> ShortStr<'static> {
        let index = self.roll(from.len() as u64) as usize;
        ShortStr::new(from[index]).unwrap()
    }

    fn connect(&mut self) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let who = Introduction { user: Name::from("u"), cancel_notify: true, blocked_notify: true };
        self.core.open(conn, &Name::from("/"), who).unwrap();
        for channel in 1..=2 {
            self.core.open_channel(At { conn, channel });
        }
    }

    fn at(&mut self) -> At {
        At { conn: ConnId(1 + self.roll(self.conns)), channel: 1 + self.roll(2) as u16 }
    }

    /// One call, on a channel that is open, as the session makes them.
    fn step(&mut self) -> String {
        self.now = self.now + std::time::Duration::from_millis(self.roll(20));
        let at = self.at();
        if self.core.channel_state(at) != ChannelState::Open || !self.core.is_open(at.conn) {
            self.core.channel_closed(at);
            if self.core.is_open(at.conn) {
                self.core.open_channel(at);
            } else if self.conns < 12 {
                self.core.disconnect(at.conn, self.now);
                self.connect();
            }
            return format!("opening {at:?}");
        }
        let call = self.roll(23);
        let result = self.call(at, call);
        if let Err(refusal) = &result {
            self.core.refuse(at, refusal.clone(), MethodId::default(), self.now);
        }
        format!("call {call} on {at:?}: {result:?}")
    }

    fn call(&mut self, at: At, call: u64) -> Result<(), super::Refusal> {
        let now = self.now;
        match call {
            0 | 1 => self.declare(at),
            2 => self.declare_exchange(at),
            3 => self.bind(at),
            4..=9 => self.publish(at),
            10..=12 => self.consume(at),
            13 => {
                let tag = self.pick(&QUEUES);
                self.core.cancel(at, &basic::Cancel { consumer_tag: tag, no_wait: false }, now)
            }
            14 => {
                let get = basic::Get { queue: self.pick(&QUEUES), no_ack: self.flip() };
                self.core.get(at, &get, now)
            }
            15..=17 => self.settle(at),
            18 => self.change_mode(at),
            19 => {
                let prefetch_count = self.roll(4) as u16;
                let qos = basic::Qos { prefetch_size: 0, prefetch_count, global: self.flip() };
                self.core.qos(at, &qos, now)
            }
            20 => self.remove(at),
            21 => {
                self.core.handle_timeout(now);
                self.core.flush(at.conn, now);
                Ok(())
            }
            _ => {
                let mut outputs = Vec::new();
                self.core.take_outputs(at.conn, &mut outputs);
                self.core.sent(at.conn, now);
                Ok(())
            }
        }
    }

    fn declare(&mut self, at: At) -> Result<(), super::Refusal> {
        let mut arguments = FieldTable::new();
        let dead = ["", "x", "y"][self.roll(3) as usize];
        let options: [(&str, Value); 8] = [
            ("x-max-length", 3i32.into()),
            ("x-max-length-bytes", 50i32.into()),
            ("x-message-ttl", 30i32.into()),
            ("x-dead-letter-exchange", dead.into()),
            ("x-max-priority", 3i32.into()),
            ("x-single-active-consumer", true.into()),
            ("x-expires", 100i32.into()),
            ("x-overflow", "reject-publish-dlx".into()),
        ];
        for (name, value) in options {
            if self.roll(4) == 0 {
                arguments.insert(name, value).unwrap();
            }
        }
        if self.roll(4) == 0 {
            let kind = ["quorum", "stream"][self.roll(2) as usize];
            arguments = FieldTable::new().with("x-queue-type", kind).unwrap();
            if kind == "quorum" {
                arguments.insert("x-delivery-limit", 2i32).unwrap();
            }
        }
        let arguments = arguments.encode();
        let declare = queue::Declare {
            queue: self.pick(&QUEUES),
            passive: false,
            durable: true,
            exclusive: self.roll(6) == 0,
            auto_delete: self.roll(6) == 0,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.core.queue_declare(at, &declare, self.now)
    }

    fn declare_exchange(&mut self, at: At) -> Result<(), super::Refusal> {
        let declare = exchange::Declare {
            exchange: self.pick(&EXCHANGES[..3]),
            kind: self.pick(&["direct", "fanout", "topic", "headers"]),
            passive: false,
            durable: true,
            auto_delete: self.flip(),
            internal: false,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        self.core.exchange_declare(at, &declare)
    }

    fn bind(&mut self, at: At) -> Result<(), super::Refusal> {
        let routing_key = self.pick(&["a", "a.b", "#", "*", ""]);
        if self.roll(3) == 0 {
            let bind = exchange::Bind {
                destination: self.pick(&EXCHANGES),
                source: self.pick(&EXCHANGES),
                routing_key,
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            return self.core.exchange_bind(at, &bind);
        }
        let (queue, exchange) = (self.pick(&QUEUES), self.pick(&EXCHANGES));
        if self.roll(4) == 0 {
            let unbind = queue::Unbind { queue, exchange, routing_key, arguments: RawTable::EMPTY };
            return self.core.queue_unbind(at, &unbind);
        }
        let bind = queue::Bind {
            queue,
            exchange,
            routing_key,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        self.core.queue_bind(at, &bind)
    }

    fn publish(&mut self, at: At) -> Result<(), super::Refusal> {
        let exchange = if self.flip() { ShortStr::empty() } else { self.pick(&EXCHANGES) };
        let publish = basic::Publish {
            exchange,
            routing_key: self.pick(&["a", "b", "c", "d", "e", "a.b"]),
            mandatory: self.flip(),
            immediate: false,
        };
        let properties = match self.roll(3) {
            // An expiration of 10, and a priority of 2.
            0 => Bytes::from_static(&[1, 0, 2, b'1', b'0']),
            1 => Bytes::from_static(&[8, 0, 2]),
            _ => Bytes::from_static(&[0, 0]),
        };
        let body = Body::from(Bytes::from(vec![0; self.roll(40) as usize]));
        self.core.publish(at, &publish, Content { properties, body }, self.now)
    }

    fn consume(&mut self, at: At) -> Result<(), super::Refusal> {
        let priority = self.roll(2) as i32;
        let arguments = match self.roll(2) {
            0 => FieldTable::new(),
            _ => FieldTable::new().with("x-priority", priority).unwrap(),
        };
        let arguments = arguments.encode();
        let consume = basic::Consume {
            queue: self.pick(&QUEUES),
            consumer_tag: self.pick(&QUEUES),
            no_local: false,
            no_ack: self.roll(3) == 0,
            exclusive: self.roll(8) == 0,
            no_wait: false,
            arguments: RawTable::new(&arguments),
        };
        self.core.consume(at, &consume, self.now)
    }

    fn settle(&mut self, at: At) -> Result<(), super::Refusal> {
        let tags: Vec<u64> = self.core.channel(at)?.unacked.keys().copied().collect();
        if tags.is_empty() {
            return Ok(());
        }
        let delivery_tag = tags[self.roll(tags.len() as u64) as usize];
        let (multiple, requeue) = (self.roll(3) == 0, self.flip());
        match self.roll(4) {
            0 | 1 => self.core.ack(at, &basic::Ack { delivery_tag, multiple }, self.now),
            2 => self.core.nack(at, &basic::Nack { delivery_tag, multiple, requeue }, self.now),
            _ => self.core.reject(at, &basic::Reject { delivery_tag, requeue }, self.now),
        }
    }

    fn change_mode(&mut self, at: At) -> Result<(), super::Refusal> {
        match self.roll(6) {
            0 => self.core.tx_select(at),
            1 => self.core.tx_commit(at, self.now),
            2 => self.core.tx_rollback(at),
            3 => self.core.recover(at, true, false, self.now),
            _ => self.core.confirm_select(at, &confirm::Select { no_wait: false }),
        }
    }

    fn remove(&mut self, at: At) -> Result<(), super::Refusal> {
        let queue = self.pick(&QUEUES);
        match self.roll(6) {
            0 => {
                let delete =
                    queue::Delete { queue, if_unused: false, if_empty: false, no_wait: false };
                self.core.queue_delete(at, &delete, self.now)
            }
            1 => self.core.queue_purge(at, &queue::Purge { queue, no_wait: false }, self.now),
            2 => {
                let exchange = self.pick(&EXCHANGES[..3]);
                let delete = exchange::Delete { exchange, if_unused: self.flip(), no_wait: false };
                self.core.exchange_delete(at, &delete)
            }
            3 => {
                self.core.close_channel(at, self.now);
                Ok(())
            }
            4 => {
                self.core.disconnect(at.conn, self.now);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn check(core: &Core) -> Result<(), String> {
    if !core.dead.is_empty() {
        return Err("dead letters were left lying".to_owned());
    }
    check_counts(core)?;
    check_nobody_waits_in_vain(core)?;
    check_timers(core)?;
    check_bindings(core)
}

/// The deliveries of a channel that are not settled for good.
fn unsettled(peer: &Peer) -> impl Iterator<Item = (u16, &Unacked)> {
    peer.channels
        .iter()
        .filter_map(|(number, slot)| match slot {
            Slot::Open(channel) => Some((*number, channel)),
            Slot::Closing => None,
        })
        .flat_map(|(number, channel)| {
            let pending = match &channel.mode {
                Mode::Tx(transaction) => &transaction.settled[..],
                _ => &[],
            };
            let pending = pending.iter().flat_map(|(_, taken)| taken).map(|(_, one)| one);
            channel.unacked.values().chain(pending).map(move |one| (number, one))
        })
}

fn check_counts(core: &Core) -> Result<(), String> {
    let mut stored = 0;
    let mut by_queue: BTreeMap<_, u64> = BTreeMap::new();
    let mut by_consumer: BTreeMap<_, u32> = BTreeMap::new();
    for (conn, peer) in &core.peers {
        let mut to_consumers: BTreeMap<u16, u32> = BTreeMap::new();
        for (channel, one) in unsettled(peer) {
            *by_queue.entry(one.queue).or_default() += 1;
            if let Some(consumer) = one.consumer {
                *by_consumer.entry((one.queue, consumer)).or_default() += 1;
                *to_consumers.entry(channel).or_default() += 1;
            }
            if !one.of_stream {
                stored += one.entry.message.cost();
            }
        }
        for (number, slot) in &peer.channels {
            if let Slot::Open(channel) = slot
                && channel.to_consumers != to_consumers.get(number).copied().unwrap_or(0)
            {
                return Err(format!("{conn:?} counts {} to consumers", channel.to_consumers));
            }
        }
    }
    for (id, queue) in &core.queues {
        if queue.unacked != by_queue.get(id).copied().unwrap_or(0) {
            return Err(format!("{:?} counts {} unacked", queue.name, queue.unacked));
        }
        for (consumer_id, consumer) in queue.consumers.iter() {
            let found = by_consumer.get(&(*id, consumer_id)).copied().unwrap_or(0);
            if consumer.unacked != found {
                return Err(format!("{consumer:?} has {found} unacked"));
            }
            if consumer.prefetch != 0 && consumer.unacked > u32::from(consumer.prefetch) {
                return Err(format!("{consumer:?} has more than its prefetch"));
            }
        }
        stored += queue.ready.iter().map(|entry| entry.message.cost()).sum::<usize>();
        stored += queue.log.as_ref().map_or(0, super::stream::Log::cost);
    }
    if stored != core.stored {
        return Err(format!("{} octets are stored, {stored} are found", core.stored));
    }
    Ok(())
}

/// Where messages wait, everybody who is served lacks room.
fn check_nobody_waits_in_vain(core: &Core) -> Result<(), String> {
    for queue in core.queues.values().filter(|queue| !queue.ready.is_empty()) {
        for (id, consumer) in queue.consumers.iter() {
            let Some(peer) = core.peers.get(&consumer.conn) else {
                return Err(format!("{consumer:?} belongs to nobody"));
            };
            let Some(Slot::Open(channel)) = peer.channels.get(&consumer.channel) else {
                return Err(format!("{consumer:?} is on no channel"));
            };
            let room =
                consumer.has_room() && channel.has_room() && peer.has_room(core.limits.backlog);
            if room && queue.consumers.is_served(id) && !consumer.noted {
                return Err(format!("{consumer:?} of {:?} is idle", queue.name));
            }
        }
    }
    Ok(())
}

fn check_timers(core: &Core) -> Result<(), String> {
    let set: BTreeSet<_> =
        core.queues.iter().filter_map(|(id, queue)| queue.timer.map(|due| (due, *id))).collect();
    if set != core.timers {
        return Err(format!("timers {:?}, queues {set:?}", core.timers));
    }
    Ok(())
}

fn check_bindings(core: &Core) -> Result<(), String> {
    let vhost = &core.vhosts[0];
    for (source, exchange) in &vhost.exchanges {
        for binding in exchange.bindings() {
            let there = match &binding.destination {
                Destination::Queue(id) => core.queues.contains_key(id),
                Destination::Exchange(name) => vhost.exchanges.contains_key(name),
            };
            if !there || !vhost.is_bound(source, binding) {
                return Err(format!("{source:?} has a binding to nowhere: {binding:?}"));
            }
        }
    }
    for (name, id) in &vhost.queues {
        if core.queues.get(id).is_none_or(|queue| queue.name != *name) {
            return Err(format!("{name:?} names no queue"));
        }
    }
    Ok(())
}
