//! The broker and the network, and what a driver does between them and the machine.

use std::time::Duration;

use arbitrary::Unstructured;
use bytes::Bytes;
use hopmq::{
    fsm::supervisor::Retry,
    proto::{Action, Loss, Turn},
    wire::{
        FRAME_MIN_SIZE, FrameKind, Method, MethodFrame,
        method::{basic, channel, connection},
    },
};

use super::{Asked, Game, OnWire, Socket, settings::plain};
use crate::{
    grammar::{self, Drawn, Wish},
    memory,
    peer::{Ear, responses},
};

impl Game {
    /// The broker answers the oldest question that it may answer, as an honest one would.
    pub(super) fn broker_answers(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        if self.socket != Socket::Up {
            return self.dial(from);
        }
        self.write();
        let mut out = Vec::new();
        match self.asked.pop_front() {
            None => return Ok(()),
            Some(Asked { payload, .. }) if payload.is_empty() => {
                grammar::frame(FrameKind::Method, 0, START, &mut out);
            }
            Some(Asked { channel, payload }) => {
                let asked = Method::decode(&payload).expect("the client's");
                answer(from, channel, &asked, &mut out)?;
            }
        }
        self.receive(&out);
        Ok(())
    }

    /// The broker says what nobody asked it, or what is not AMQP.
    pub(super) fn broker_says(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let mut out = Vec::new();
        let channel = u16::from(from.arbitrary::<u8>()? % 4);
        match from.arbitrary::<u8>()? {
            0..=99 => {
                let tag = *grammar::one_of(from, &[&b"hopmq-1"[..], b"hopmq-2", b"hopmq-3"])?;
                let spec = grammar::row(basic::Deliver::ID);
                let wish = Wish { name: Some(tag), tidy: true };
                let mut payload = grammar::method(from, spec, wish)?;
                // The delivery tag is behind the consumer's; most brokers count.
                if from.ratio(7, 8)? {
                    self.delivered += 1;
                    let at = 5 + tag.len();
                    payload[at..at + 8].copy_from_slice(&self.delivered.to_be_bytes());
                }
                grammar::frame(FrameKind::Method, channel, &payload, &mut out);
                grammar::content(from, channel, &mut out)?;
            }
            100..=159 => {
                let published = self.published.get(&channel).copied().unwrap_or(0);
                let tag = from.arbitrary::<u8>()?;
                let tag = 1 + u64::from(tag) % (published + 1);
                let row = if from.ratio(3, 4)? { basic::Ack::ID } else { basic::Nack::ID };
                let mut payload = vec![0, 60, 0, row.method as u8];
                payload.extend(tag.to_be_bytes());
                payload.push(from.arbitrary::<u8>()? & 1);
                grammar::frame(FrameKind::Method, channel, &payload, &mut out);
            }
            160..=179 => {
                let spec = grammar::row(basic::Return::ID);
                let payload = grammar::method(from, spec, Wish::default())?;
                grammar::frame(FrameKind::Method, channel, &payload, &mut out);
                grammar::content(from, channel, &mut out)?;
            }
            180..=199 => {
                let rows = [
                    (connection::Blocked::ID, 0),
                    (connection::Unblocked::ID, 0),
                    (basic::Cancel::ID, channel),
                    (channel::Close::ID, channel),
                    (channel::Flow::ID, channel),
                    (connection::Close::ID, 0),
                ];
                let (id, channel) = *grammar::one_of(from, &rows)?;
                let payload = grammar::method(from, grammar::row(id), Wish::default())?;
                grammar::frame(FrameKind::Method, channel, &payload, &mut out);
            }
            200..=204 => {
                for _ in 0..from.arbitrary::<u8>()? % 16 {
                    grammar::frame(FrameKind::Heartbeat, 0, &[], &mut out);
                }
            }
            _ => grammar::any_frame(from, channel, &mut out)?,
        }
        if from.ratio(1, 16)? {
            // The rest is on its way, or will never come.
            out.truncate(usize::from(from.arbitrary::<u8>()?));
        }
        self.receive(&out);
        Ok(())
    }

    /// A driver's read: what came is presented behind what was left.
    fn receive(&mut self, octets: &[u8]) {
        let blocks = if self.split { octets.chunks(3) } else { octets.chunks(octets.len().max(1)) };
        for octets in blocks {
            let reads = self.connection.wants_read() || self.compared;
            if self.socket != Socket::Up || !reads {
                return;
            }
            self.rest.extend_from_slice(octets);
            let block = Bytes::from(std::mem::take(&mut self.rest));
            let (connection, now) = (&mut self.connection, self.now);
            let (used, peak) = memory::peak(|| connection.handle_input(now, &block));
            let bound = 256 * 1024 + 64 * block.len();
            assert!(peak < bound, "{peak} octets for a block of {}", block.len());
            self.rest.extend_from_slice(&block[used..]);
            assert!(self.rest.len() <= 1024 * 1024, "{} are held back", self.rest.len());
            self.drain();
        }
    }

    /// The socket that was asked for opens, or does not.
    fn dial(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        if self.socket != Socket::Dialing {
            return Ok(());
        }
        match from.arbitrary::<u8>()? {
            how @ 0..=239 => {
                self.socket = Socket::Up;
                self.rest.clear();
                self.ear = Ear::new(u32::MAX);
                self.greeted = false;
                self.said_close = false;
                self.asked.clear();
                self.on_wire.clear();
                self.published.clear();
                match how {
                    0..=159 => self.connection.handle_dialed(self.now, plain()),
                    _ => {
                        // One host of several.
                        let until = self.now + Duration::from_secs(2);
                        let turn = Turn { until, among_others: how < 200 };
                        self.connection.handle_dialed_in_turn(self.now, plain(), turn);
                    }
                }
            }
            other => {
                self.socket = Socket::None;
                let retry = if other < 250 { Retry::Can } else { Retry::Never };
                self.connection.handle_dial_failed(self.now, Loss::Unreachable, retry);
            }
        }
        Ok(())
    }

    /// The network fails.
    pub(super) fn disturb(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        if self.socket == Socket::Up {
            let kind = std::io::ErrorKind::ConnectionReset;
            let losses = [Loss::EndOfStream, Loss::Io(kind)];
            self.lose(*grammar::one_of(from, &losses)?);
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, loss: Loss) {
        self.socket = Socket::None;
        self.connection.handle_lost(self.now, loss);
    }

    pub(super) fn advance(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let waits = [1, 100, 1_000, 3_000, 10_000, 60_000];
        let wait = Duration::from_millis(*grammar::one_of(from, &waits)?);
        self.pass(wait);
        Ok(())
    }

    /// Time passes; what falls due is done when it does.
    pub(super) fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        while let Some(due) = self.connection.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now);
            self.drain();
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "due at {next:?} and still due");
        }
        self.now = until;
    }

    /// A driver's write: what is in the batch goes out, and the broker hears it.
    pub(super) fn write(&mut self) {
        if self.socket != Socket::Up || !self.connection.has_output() {
            return;
        }
        self.connection.take_batch(self.now, &mut self.batch);
        let said: Vec<u8> = self.batch.slices(0).flatten().copied().collect();
        assert_eq!(said.len(), self.batch.len());
        self.batch.clear();
        self.hear(&said);
        self.see(|| format!("said {said:?}"));
    }

    fn hear(&mut self, said: &[u8]) {
        let said = match self.greeted {
            true => said,
            false => {
                self.greeted = true;
                // No payload stands for the protocol header.
                self.asked.push_back(Asked { channel: 0, payload: Vec::new() });
                said.strip_prefix(b"AMQP\x00\x00\x09\x01").expect("a protocol header")
            }
        };
        let Game { ear, asked, on_wire, published, said_close, .. } = self;
        ear.hear(said, |ear, channel, payload| {
            let method = Method::decode(payload).expect("decoded before");
            if *said_close {
                // A broker discards it (AMQP 0-9-1, connection.close), but it must not be content.
                assert!(!method.has_content(), "{method:?} after connection.close");
                return;
            }
            hear_of_channel(on_wire, channel, &method);
            match method {
                Method::ConnectionTuneOk(tune) => {
                    assert!(tune.frame_max >= FRAME_MIN_SIZE);
                    ear.set_frame_max(tune.frame_max);
                }
                Method::ConnectionClose(_) => *said_close = true,
                Method::ChannelOpen(_) => {
                    published.insert(channel, 0);
                }
                Method::BasicPublish(_) => *published.entry(channel).or_default() += 1,
                _ => {}
            }
            if !responses(method.id()).is_empty() {
                asked.push_back(Asked { channel, payload: payload.to_vec() });
            }
        });
    }

    /// Does what the machine asks for, as a driver does after every change.
    pub(super) fn drain(&mut self) {
        let mut wakes = Vec::new();
        loop {
            self.connection.take_wakes(&mut wakes);
            let Some(action) = self.connection.poll_action() else { break };
            self.see(|| format!("{action:?}"));
            match action {
                Action::Dial { .. } | Action::DialNext { .. } => {
                    assert_ne!(self.socket, Socket::Dialing, "two attempts at once");
                    self.socket = Socket::Dialing;
                }
                Action::Abort => self.socket = Socket::None,
                Action::Shut => {
                    self.write();
                    self.socket = Socket::None;
                }
            }
        }
        for waiter in wakes {
            self.waiting.remove(&waiter.index);
        }
        while let Some(change) = self.connection.poll_transition() {
            self.see(|| format!("{:?}", change.transition));
        }
        while let Some(change) = self.connection.poll_channel_transition() {
            self.see(|| format!("{change:?}"));
        }
        while self.connection.poll_renamed().is_some() {}
    }
}

/// What an honest broker answers, its choices left to chance.
fn answer(
    from: &mut Unstructured<'_>,
    channel: u16,
    asked: &Method<'_>,
    out: &mut Vec<u8>,
) -> Drawn<()> {
    let mut wish = Wish { name: None, tidy: true };
    match asked {
        Method::ConnectionTuneOk(_) => return Ok(()),
        Method::BasicConsume(consume) => wish.name = Some(consume.consumer_tag.as_bytes()),
        Method::BasicCancel(cancel) => wish.name = Some(cancel.consumer_tag.as_bytes()),
        Method::QueueDeclare(declare) if !declare.queue.is_empty() => {
            wish.name = Some(declare.queue.as_bytes());
        }
        _ => {}
    }
    let id = match asked {
        Method::ConnectionStartOk(_) => connection::Tune::ID,
        asked => *grammar::one_of(from, responses(asked.id()))?,
    };
    let mut payload = grammar::method(from, grammar::row(id), wish)?;
    if id == connection::Tune::ID && from.ratio(15, 16)? {
        payload.truncate(4);
        payload.extend(b"\0\x08\0\0\x20\0\0\x3c");
    }
    grammar::frame(FrameKind::Method, channel, &payload, out);
    if grammar::row(id).content {
        grammar::content(from, channel, out)?;
    }
    Ok(())
}

/// A client's methods belong on channels that it has opened and not closed since.
fn hear_of_channel(
    on_wire: &mut std::collections::BTreeMap<u16, OnWire>,
    channel: u16,
    method: &Method<'_>,
) {
    if channel == 0 {
        assert_eq!(method.id().class, 10, "{method:?} on channel 0");
        return;
    }
    match (on_wire.get(&channel), method) {
        (None | Some(OnWire::Closing), Method::ChannelOpen(_)) => {
            on_wire.insert(channel, OnWire::Open);
        }
        (Some(OnWire::Open), Method::ChannelClose(_)) => {
            on_wire.insert(channel, OnWire::Closing);
        }
        (Some(OnWire::Open), Method::ChannelCloseOk(_)) => {
            on_wire.remove(&channel);
        }
        (Some(OnWire::Closing), Method::ChannelCloseOk(_)) => {}
        // A late frame for a channel that is gone is answered, in case the broker waits for it.
        (None, Method::ChannelCloseOk(_)) => {}
        (Some(OnWire::Open), method) => assert_ne!(method.id(), channel::Open::ID, "twice"),
        (state, method) => panic!("{method:?} on channel {channel}, which is {state:?}"),
    }
}

/// connection.start with PLAIN on offer.
const START: &[u8] = b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US";
