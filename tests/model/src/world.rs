//! Everything that there is at one moment, and what can happen next.

use std::{collections::VecDeque, hash::Hash, task::Poll};

use bytes::Bytes;
use hopmq::{
    broker::{ConnectionId, Unplugged},
    fsm::{
        Time,
        supervisor::{self, Retry},
    },
    proto::{
        Accepted, Action, Arrival, Batch, ChannelKey, Connection, ConsumerKey, Loss, Outcome,
        SettleError, Settlement, WaiterId,
    },
};

use crate::{
    Bounds,
    link::{self, Link, units},
    print::{Part, print},
    start::{self, plain, start},
};

pub const NOW: Time = Time::ZERO;

/// Who is woken: a channel's publisher, the consumer, and then whoever awaits a message's outcome.
const PUBLISHER: u32 = 0;
const CONSUMER: u32 = 8;
const OUTCOME: u32 = 16;

/// What has come to pass, so that it can be seen that a model shows what it says.
pub mod seen {
    pub const CONFIRMED_AT_THE_END: u32 = 1;
    pub const REPLAYED: u32 = 1 << 1;
    pub const REDELIVERED: u32 = 1 << 2;
    pub const STALE: u32 = 1 << 3;
    pub const UNKNOWN: u32 = 1 << 4;
    pub const ACKS_MERGED: u32 = 1 << 5;
    pub const PUBLISHED_WHILE_DOWN: u32 = 1 << 6;
    pub const WAITED_FOR_THE_GATE: u32 = 1 << 7;
    pub const CAME_LATE: u32 = 1 << 8;
    pub const TWICE_IN_THE_QUEUE: u32 = 1 << 9;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A channel publishes its next message.
    Publish(usize),
    /// What became of a message is asked, and what has arrived is taken, where users are slow.
    AskOutcome(usize),
    Take,
    /// The oldest delivery is acked. Where users are slow, the ack waits for others, or for the next step.
    Settle,
    Write,
    ClientReads,
    BrokerReads {
        link: usize,
    },
    /// The link is cut for what the client writes from here on, and what the broker has not read.
    Cut,
    /// The client finds its link lost: what it has not read it never will. Torn: but for a part of a
    /// unit.
    Lost {
        torn: bool,
    },
    /// So does the broker.
    BrokerLoses {
        link: usize,
        torn: bool,
    },
    Dialed,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Socket {
    None,
    Dialing,
    /// The last of the links.
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Confirmed,
    Unknown,
}

/// A message on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Message {
    channel: usize,
    /// It is published again after a cut.
    keep: bool,
    tag: Option<u64>,
    end: Option<End>,
}

/// A delivery in the consumer's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    tag: u64,
    epoch: u32,
    message: u8,
}

#[derive(Clone, Debug)]
pub struct World {
    client: Part<Connection>,
    broker: Part<Unplugged>,
    channels: Vec<ChannelKey>,
    consumer: ConsumerKey,
    /// Those that either side has not let go of, the latest last.
    links: Vec<Link>,
    socket: Socket,
    cuts: u8,
    refusals: u8,
    epoch: u32,
    /// Whoever may run, as bits.
    runnable: u32,
    messages: Vec<Message>,
    held: VecDeque<Held>,
    /// Which messages came to the broker, to the consumer, and were settled, as bits.
    arrived: u8,
    delivered: u8,
    acked: u8,
    // Only while a step is taken.
    seen: u32,
    wrong: Option<String>,
}

pub fn waiter(index: u32) -> WaiterId {
    WaiterId { index, generation: 0 }
}

impl World {
    pub fn new(bounds: &Bounds) -> Self {
        let start = start(bounds.channels.len(), bounds.prefetch);
        let channels = bounds.channels.iter().enumerate();
        let message = |channel, keep| Message { channel, keep, tag: None, end: None };
        let messages = channels
            .flat_map(|(channel, keeps)| keeps.iter().map(move |keep| message(channel, *keep)));
        let mut world = World {
            client: Part::new(start.client),
            broker: Part::new(start.broker),
            channels: start.channels,
            consumer: start.consumer,
            links: start.links,
            socket: Socket::Up,
            cuts: 0,
            refusals: 0,
            epoch: 1,
            runnable: ((1 << bounds.channels.len()) - 1) << PUBLISHER | 1 << CONSUMER,
            messages: messages.collect(),
            held: VecDeque::new(),
            arrived: 0,
            delivered: 0,
            acked: 0,
            seen: 0,
            wrong: None,
        };
        world.settle_down(bounds, true);
        assert_eq!(world.wrong, None);
        world
    }

    /// By which this state is known again. What is aside in client and broker (statistics) is not in it.
    pub fn print(&mut self) -> u128 {
        let parts = (self.client.print(), self.broker.print());
        let rest = (self.socket, self.cuts, self.refusals, self.epoch, self.runnable);
        let account = (&self.messages, &self.held, self.arrived, self.delivered, self.acked);
        print(&(parts, rest, account, &self.links))
    }

    /// What can happen next. Of steps that do not depend on each other one order is enough; the crate's
    /// documentation says which.
    pub fn steps(&self, bounds: &Bounds) -> Vec<Step> {
        let mut steps = Vec::new();
        let current = self.links.last().filter(|_| self.socket == Socket::Up);
        if self.client.is_up() {
            for (link, it) in self.links.iter().enumerate().filter(|(_, it)| it.left) {
                steps.push(Step::BrokerLoses { link, torn: false });
                if !it.up.is_empty() {
                    steps.push(Step::BrokerReads { link });
                    steps.push(Step::BrokerLoses { link, torn: true });
                }
            }
        }
        if let Some(Link { cut: false, up, .. }) = current
            && !up.is_empty()
        {
            steps.push(Step::BrokerReads { link: self.links.len() - 1 });
            if self.cuts < bounds.cuts {
                steps.push(Step::Cut);
            }
            return steps;
        }
        if let Some(Link { cut: false, down, .. }) = current
            && self.cuts == bounds.cuts
            && down.front().is_some_and(|unit| link::only_tells(unit))
        {
            return vec![Step::ClientReads];
        }
        if let Some(link) = current {
            if self.client.has_output() {
                steps.push(Step::Write);
            }
            if !link.down.is_empty() {
                steps.push(Step::ClientReads);
            }
            if link.cut || self.cuts < bounds.cuts {
                steps.push(Step::Lost { torn: false });
                if !link.down.is_empty() {
                    steps.push(Step::Lost { torn: true });
                }
            }
        }
        if self.socket == Socket::Dialing {
            steps.push(Step::Dialed);
            if self.refusals < bounds.refusals {
                steps.push(Step::Refused);
            }
        }
        self.users(bounds, &mut steps);
        steps
    }

    /// What users may do.
    fn users(&self, bounds: &Bounds, steps: &mut Vec<Step>) {
        for channel in 0..self.channels.len() {
            if self.runs(PUBLISHER + channel as u32) && self.next_of(channel).is_some() {
                steps.push(Step::Publish(channel));
            }
        }
        if !self.held.is_empty() {
            steps.push(Step::Settle);
        }
        if bounds.slow {
            let waiting = |message: &usize| self.runs(OUTCOME + *message as u32);
            let outcomes = (0..self.messages.len()).filter(waiting);
            steps.extend(outcomes.map(Step::AskOutcome));
            if self.runs(CONSUMER) {
                steps.push(Step::Take);
            }
        }
    }

    fn runs(&self, task: u32) -> bool {
        self.runnable & 1 << task != 0
    }

    fn next_of(&self, channel: usize) -> Option<usize> {
        let next = |it: &Message| it.channel == channel && it.tag.is_none();
        self.messages.iter().position(next)
    }

    /// Takes a step. Gives what came to pass, or what is wrong.
    pub fn step(&mut self, bounds: &Bounds, step: Step) -> Result<u32, String> {
        self.seen = 0;
        match step {
            Step::BrokerReads { link } => self.broker_reads(link),
            Step::BrokerLoses { link, torn } => self.broker_loses(link, torn),
            Step::Cut => {
                self.current().cut = true;
                self.cuts += 1;
            }
            _ => {
                self.client_steps(step);
                self.settle_down(bounds, !(bounds.slow && step == Step::Settle));
            }
        }
        if matches!(step, Step::Lost { .. } | Step::BrokerReads { .. }) {
            self.forget_idle_links();
        }
        self.links.retain(|link| !link.gone);
        self.check_messages();
        match self.wrong.take() {
            Some(wrong) => Err(wrong),
            None => Ok(self.seen),
        }
    }

    fn client_steps(&mut self, step: Step) {
        match step {
            Step::Publish(channel) => self.publish(channel),
            Step::AskOutcome(message) => self.ask_outcome(message),
            Step::Take => self.take(),
            Step::Settle => self.settle(),
            Step::ClientReads => {
                let unit = self.current().down.pop_front().unwrap();
                let used = self.client.change().handle_input(NOW, &unit);
                self.check(used == unit.len(), "a part of what arrived is not read");
            }
            Step::Lost { torn } => self.lose(torn),
            Step::Dialed => {
                self.socket = Socket::Up;
                let peer = self.broker.change().accept(NOW);
                self.links.push(Link::new(peer));
                self.client.change().handle_dialed(NOW, plain());
            }
            Step::Refused => {
                self.socket = Socket::None;
                self.refusals += 1;
                self.client.change().handle_dial_failed(NOW, Loss::Unreachable, Retry::Can);
            }
            _ => {}
        }
    }

    fn current(&mut self) -> &mut Link {
        self.links.last_mut().unwrap()
    }

    // --- the broker ---

    fn broker_reads(&mut self, number: usize) {
        let link = &mut self.links[number];
        let (unit, peer, left) = (link.up.pop_front().unwrap(), link.peer, link.left);
        if let Some(message) = link::message(&unit) {
            self.arrives(usize::from(message));
            self.note(left, seen::CAME_LATE);
        }
        self.broker.change().receive(peer, &unit, NOW);
        self.broker_speaks();
    }

    fn broker_loses(&mut self, number: usize, torn: bool) {
        let link = &mut self.links[number];
        link.gone = true;
        let peer = link.peer;
        if let Some(unit) = link.up.pop_front().filter(|_| torn) {
            self.broker.change().receive(peer, &unit[..unit.len() - 1], NOW);
        }
        self.broker.change().disconnect(peer, NOW);
        self.broker_speaks();
    }

    /// Of a link that the client has left only what changes the queue matters: it makes no difference
    /// when the broker loses one on which that cannot happen any more.
    fn forget_idle_links(&mut self) {
        let consumers = self.broker.change().queues(NOW).remove(0).consumers;
        for link in 0..self.links.len() {
            let Link { left, peer, ref mut up, .. } = self.links[link];
            if left {
                let last = up.iter().rposition(|unit| link::changes_the_queue(unit));
                up.truncate(last.map_or(0, |last| last + 1));
                let consumes = consumers.iter().any(|consumer| consumer.connection == peer);
                if up.is_empty() && !consumes {
                    self.broker_loses(link, false);
                }
            }
        }
    }

    fn broker_speaks(&mut self) {
        let broker = self.broker.change();
        let mut hangs_up = false;
        for link in self.links.iter_mut().filter(|link| !link.gone) {
            let said = gather(broker, link.peer);
            if !link.left {
                link.down.extend(said);
            }
            hangs_up |= broker.hangs_up(link.peer, NOW);
        }
        self.check(!hangs_up, "the broker hangs up");
    }

    /// What is kept comes to the broker in the order of publishing, the first time.
    fn arrives(&mut self, message: usize) {
        let Message { channel, keep, .. } = self.messages[message];
        let earlier = self.messages[..message].iter().enumerate();
        let mut kept = earlier.filter(|(_, it)| it.channel == channel && it.keep);
        let skipped = kept.any(|(number, _)| self.arrived & 1 << number == 0);
        self.check(!keep || !skipped, "a message overtakes another one of its channel");
        self.arrived |= 1 << message;
    }

    /// What was confirmed is in the queue or has been settled; nothing is there too often.
    fn check_messages(&mut self) {
        let mut counts = [0; 8];
        for body in self.broker.messages("q") {
            counts[usize::from(body[0])] += 1;
        }
        for (number, message) in self.messages.clone().into_iter().enumerate() {
            let there = counts[number] > 0 || self.acked & 1 << number != 0;
            let confirmed = message.end == Some(End::Confirmed);
            self.check(there || !confirmed, "a confirmed message is lost");
            let most = if message.keep { 1 + self.cuts } else { 1 };
            self.check(counts[number] <= most, "a message is there too often");
            self.note(counts[number] > 1, seen::TWICE_IN_THE_QUEUE);
        }
    }

    // --- the client's task ---

    fn lose(&mut self, torn: bool) {
        self.socket = Socket::None;
        let link = self.links.last_mut().unwrap();
        self.cuts += u8::from(!link.cut);
        link.cut = true;
        link.left = true;
        let unit = link.down.pop_front().filter(|_| torn);
        link.down.clear();
        if let Some(unit) = unit {
            self.client.change().handle_input(NOW, &unit.slice(..unit.len() - 1));
        }
        self.client.change().handle_lost(NOW, Loss::EndOfStream);
    }

    /// What the client's task does at once, and users that are not slow.
    fn settle_down(&mut self, bounds: &Bounds, writes: bool) {
        loop {
            self.act();
            let mut wakes = Vec::new();
            self.client.change().take_wakes(&mut wakes);
            for waiter in &wakes {
                self.runnable |= 1 << waiter.index;
            }
            if self.client.poll_timeout().is_some_and(|due| due <= NOW) {
                self.client.change().handle_timeout(NOW);
                continue;
            }
            let asked = !bounds.slow && self.ask_all();
            if wakes.is_empty() && !asked {
                break;
            }
        }
        if writes && self.socket == Socket::Up && self.client.has_output() {
            let written = write(self.client.change());
            self.note(written.iter().any(|unit| is_merged_ack(unit)), seen::ACKS_MERGED);
            self.current().up.extend(written);
        }
        self.check_client();
    }

    fn act(&mut self) {
        while let Some(action) = self.client.change().poll_action() {
            match action {
                Action::Dial { .. } => {
                    self.check(self.socket == Socket::None, "two attempts at a time");
                    self.socket = Socket::Dialing;
                }
                other => self.fail(format!("{other:?}")),
            }
        }
        while self.client.change().poll_transition().is_some() {}
        while self.client.change().poll_channel_transition().is_some() {}
    }

    fn check_client(&mut self) {
        let epoch = self.client.epoch();
        let fits = epoch >= self.epoch && epoch <= 1 + u32::from(self.cuts);
        self.check(fits, "an epoch that does not follow");
        self.epoch = epoch;
        self.note(self.client.replayed() > 0, seen::REPLAYED);
        let ended = self.channels.iter().find_map(|key| self.client.channel_ended(*key));
        if let Some(cause) = ended.or_else(|| self.client.ended().cloned()) {
            self.fail(format!("an end: {cause}"));
        }
    }

    // --- the users ---

    fn publish(&mut self, channel: usize) {
        let Some(message) = self.next_of(channel) else { return };
        let body = [Bytes::copy_from_slice(&[message as u8])];
        let outgoing = start::publish(&body, self.messages[message].keep);
        let task = PUBLISHER + channel as u32;
        let key = self.channels[channel];
        let mut gate = || Some(waiter(task));
        match self.client.change().publish(key, &outgoing, || NOW, &mut gate) {
            Ok(Accepted::Yes { tag }) => {
                self.note(!self.client.is_up(), seen::PUBLISHED_WHILE_DOWN);
                let last = self.messages[..message].iter().rfind(|it| it.channel == channel);
                let follows = last.is_none_or(|last| last.tag < Some(tag));
                self.check(follows, "a tag that does not follow");
                self.messages[message].tag = Some(tag);
                self.runnable |= 1 << (OUTCOME + message as u32);
            }
            Ok(Accepted::Wait) => {
                self.note(true, seen::WAITED_FOR_THE_GATE);
                self.runnable &= !(1 << task);
            }
            Err(error) => self.fail(format!("a publish fails: {error}")),
        }
    }

    /// Gives whether anybody asked.
    fn ask_all(&mut self) -> bool {
        let before = self.runnable;
        for message in 0..self.messages.len() {
            if self.runs(OUTCOME + message as u32) {
                self.ask_outcome(message);
            }
        }
        while self.runs(CONSUMER) {
            self.take();
        }
        self.runnable != before
    }

    fn ask_outcome(&mut self, message: usize) {
        let task = OUTCOME + message as u32;
        self.runnable &= !(1 << task);
        let Message { channel, keep, tag, end } = self.messages[message];
        let (Some(tag), None) = (tag, end) else { return };
        let key = self.channels[channel];
        let outcome = self.client.change().poll_confirm(key, tag, || waiter(task));
        match outcome {
            Poll::Pending => {}
            Poll::Ready(Outcome::Confirmed) => self.messages[message].end = Some(End::Confirmed),
            Poll::Ready(Outcome::Unknown(_)) if !keep => {
                self.note(true, seen::UNKNOWN);
                self.messages[message].end = Some(End::Unknown);
            }
            Poll::Ready(other) => self.fail(format!("message {message}: {other:?}")),
        }
    }

    fn take(&mut self) {
        let mut arrived = VecDeque::new();
        self.runnable &= !(1 << CONSUMER);
        match self.client.change().poll_consumer(self.consumer, &mut arrived, || waiter(CONSUMER)) {
            Poll::Pending => {}
            Poll::Ready(None) => self.runnable |= 1 << CONSUMER,
            Poll::Ready(Some(end)) => self.fail(format!("the consumer ends: {end:?}")),
        }
        for arrival in arrived {
            self.delivered(&arrival);
        }
    }

    fn delivered(&mut self, arrival: &Arrival) {
        let Arrival { tag, epoch, ref content, .. } = *arrival;
        let message = content.body_segments().flatten().copied().next().unwrap_or(7);
        let again = self.delivered & 1 << message != 0;
        self.check(!again || self.cuts > 0, "a duplicate without a cut");
        self.check(epoch == self.client.epoch(), "a delivery of another epoch");
        let follows = |last: &Held| (last.epoch, last.tag) < (epoch, tag);
        self.check(self.held.back().is_none_or(follows), "a tag that does not follow");
        self.note(arrival.redelivered(), seen::REDELIVERED);
        self.delivered |= 1 << message;
        self.held.push_back(Held { tag, epoch, message });
    }

    fn settle(&mut self) {
        let Some(Held { tag, epoch, message }) = self.held.pop_front() else { return };
        let (key, is_current) = (self.consumer.channel, self.client.epoch() == epoch);
        let mut settle = || self.client.change().settle(key, epoch, tag, Settlement::Ack);
        match settle() {
            Ok(()) => {
                let again = settle();
                self.check(is_current, "a stale delivery is settled");
                self.check(again.is_err(), "a tag is settled twice");
                self.acked |= 1 << message;
            }
            Err(SettleError::Stale) => {
                self.check(!is_current || !self.client.is_up(), "a delivery is stale too early");
                self.note(true, seen::STALE);
            }
            Err(error) => self.fail(format!("settling fails: {error:?}")),
        }
    }

    // --- the account ---

    /// What is left when nothing can happen any more: nothing.
    pub fn unfinished(&self, bounds: &Bounds) -> Option<&'static str> {
        let mut broker = Unplugged::clone(&self.broker);
        let queues = broker.queues(NOW);
        let confirmed = self.bits(|it| it.end == Some(End::Confirmed));
        let checks = [
            (self.bits(|it| it.tag.is_none()) != 0, "a message waits for its gate"),
            (self.bits(|it| it.end.is_none()) != 0, "an outcome never comes"),
            (confirmed & !self.delivered != 0, "a confirmed message never comes"),
            (self.arrived & !self.acked != 0, "a message is never settled"),
            (self.bits(|it| it.keep) & !confirmed != 0, "what is kept is not confirmed"),
            (queues.iter().any(|queue| queue.ready + queue.unacked > 0), "the queue keeps some"),
            (queues.iter().any(|queue| queue.consumers.len() != 1), "not one consumer"),
            (broker.connections() != 1, "not one connection"),
            (self.client.supervisor().state() != supervisor::State::Connected, "not connected"),
            (self.client.unconfirmed() + self.client.unsettled() > 0, "something is kept"),
            (self.cuts < bounds.cuts, "a cut is left"),
        ];
        checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, what)| what)
    }

    /// What came to pass at an end.
    pub fn seen_at_the_end(&self) -> u32 {
        let all = self.bits(|it| it.end != Some(End::Confirmed)) == 0;
        if all { seen::CONFIRMED_AT_THE_END } else { 0 }
    }

    fn bits(&self, which: impl Fn(&Message) -> bool) -> u8 {
        let messages = self.messages.iter().enumerate();
        messages.filter(|(_, it)| which(it)).fold(0, |bits, (number, _)| bits | 1 << number)
    }

    fn check(&mut self, holds: bool, wrong: &str) {
        if !holds {
            self.fail(wrong.to_owned());
        }
    }

    fn fail(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }

    fn note(&mut self, what: bool, bit: u32) {
        self.seen |= if what { bit } else { 0 };
    }
}

/// basic.ack (60, 80) with `multiple`, the last octet before that of the frame's end.
fn is_merged_ack(unit: &[u8]) -> bool {
    unit.get(7..11) == Some(&[0, 60, 0, 80]) && unit[unit.len() - 2] == 1
}

/// What the client has to write.
pub fn write(client: &mut Connection) -> Vec<Bytes> {
    let mut batch = Batch::default();
    client.take_batch(NOW, &mut batch);
    units(batch.slices(0).flatten().copied().collect()).collect()
}

/// What the broker has to say.
pub fn gather(broker: &mut Unplugged, to: ConnectionId) -> Vec<Bytes> {
    let mut said = Vec::new();
    while broker.has_output(to, NOW) {
        said.extend_from_slice(&broker.transmit(to, usize::MAX, NOW));
    }
    units(said.into()).collect()
}
