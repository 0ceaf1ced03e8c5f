//! The user: commands in any order, polls, dropped futures; and the end, where all is answered.

use std::{collections::VecDeque, task::Poll, time::Duration};

use arbitrary::Unstructured;
use bytes::Bytes;
use hopmq::{
    fsm::supervisor::Retry,
    proto::{
        Accepted, BindingSpec, CallId, ChannelKey, ConsumeSpec, ConsumerKey, ExchangeSpec, Loss,
        Outgoing, QueueSpec, Reply, Request, Secret, Settlement, Upkeep, WaiterId, WhenCancelled,
    },
    wire::{ShortStr, ShortString},
};

use super::{Game, Mode, Owned, Pending, Socket, settings::name};
use crate::grammar::{self, Drawn};

const SECOND: Duration = Duration::from_secs(1);

/// Enough for every deadline of the settings, retries included.
const PATIENCE: Duration = Duration::from_secs(600);

impl Game {
    fn waiter(&mut self) -> u32 {
        self.waiters += 1;
        self.waiters
    }

    pub(super) fn add_call(&mut self, call: CallId) {
        self.add_owning(call, None);
    }

    fn add_owning(&mut self, call: CallId, owned: Option<Owned>) {
        let waiter = self.waiter();
        self.calls.push(Pending { what: (call, owned), waiter });
    }

    pub(super) fn command(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        match from.arbitrary::<u8>()? {
            0..=39 => {
                if let Ok(call) = self.connection.open_channel(self.now, 10 * SECOND) {
                    self.add_call(call);
                }
            }
            40..=139 => self.request(from)?,
            140..=199 => self.publish(from)?,
            200..=219 => self.settle(from)?,
            220..=229 => self.abandon(from)?,
            230..=234 => {
                if let Some((key, _)) = self.channel(from)? {
                    self.release(key);
                }
            }
            235..=239 => {
                if let Some((key, _)) = self.channel(from)? {
                    self.connection.never_merge_acks(key);
                }
            }
            240..=244 => {
                let secret = Secret(Bytes::copy_from_slice(grammar::bytes(from)?));
                let call = self.connection.update_secret(self.now, &secret, SECOND);
                self.add_call(call);
            }
            245..=249 => {
                let index = self.waiter();
                if self.connection.ended().is_none() {
                    self.connection.watch(WaiterId { index, generation: 0 });
                    self.waiting.insert(index);
                }
            }
            _ if !self.closed => {
                self.closed = true;
                let call = self.connection.close(self.now);
                self.add_call(call);
            }
            _ => {}
        }
        Ok(())
    }

    fn channel(&self, from: &mut Unstructured<'_>) -> Drawn<Option<(ChannelKey, Mode)>> {
        match self.channels.is_empty() {
            true => Ok(None),
            false => Ok(Some(*grammar::one_of(from, &self.channels)?)),
        }
    }

    fn request(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let Some((key, mode)) = self.channel(from)? else { return Ok(()) };
        let request = request(from, mode)?;
        let owned = match &request {
            Request::ConfirmSelect => Some(Owned { key, mode: Some(Mode::Confirming) }),
            Request::TxSelect => Some(Owned { key, mode: Some(Mode::Transactional) }),
            Request::CloseChannel => Some(Owned { key, mode: None }),
            _ => None,
        };
        if let Ok(call) = self.connection.request(self.now, key, request, 5 * SECOND) {
            self.add_owning(call, owned);
            if owned.is_some() {
                self.channels.retain(|(other, _)| *other != key);
            }
        }
        Ok(())
    }

    fn release(&mut self, key: ChannelKey) {
        self.channels.retain(|(other, _)| *other != key);
        self.connection.release_channel(self.now, key);
    }

    fn publish(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let Some((key, _)) = self.channel(from)? else { return Ok(()) };
        let properties = grammar::properties(from)?;
        let body: Vec<Bytes> = (0..from.arbitrary::<u8>()? % 3)
            .map(|_| Ok(Bytes::copy_from_slice(grammar::bytes(from)?)))
            .collect::<Drawn<_>>()?;
        let outgoing = Outgoing {
            exchange: ShortStr::new(grammar::text(from)?).unwrap_or(ShortStr::empty()),
            routing_key: ShortStr::new("q").unwrap_or(ShortStr::empty()),
            mandatory: from.arbitrary()?,
            properties: &properties,
            sequence_at: None,
            body: &body,
            keep: from.arbitrary()?,
        };
        let (now, index) = (self.now, self.waiter());
        let mut asked = false;
        let accepted = self.connection.publish(key, &outgoing, || now, &mut || {
            asked = true;
            Some(WaiterId { index, generation: 0 })
        });
        self.see(|| format!("publish {:?}", accepted.is_ok()));
        match accepted {
            Ok(Accepted::Wait) if asked => {
                self.waiting.insert(index);
            }
            Ok(Accepted::Yes { tag }) if tag > 0 => {
                self.confirms.push(Pending { what: (key, tag), waiter: index });
            }
            _ => assert!(!asked, "nobody waits for what is decided"),
        }
        Ok(())
    }

    fn settle(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let at = usize::from(from.arbitrary::<u8>()?) % self.deliveries.len();
        let (key, epoch, tag) = self.deliveries.swap_remove(at);
        let hows = [Settlement::Ack, Settlement::Requeue, Settlement::Reject];
        let settled = self.connection.settle(key, epoch, tag, *grammar::one_of(from, &hows)?);
        self.see(|| format!("settle {:?}", settled.is_ok()));
        Ok(())
    }

    /// Futures are dropped.
    fn abandon(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let which = usize::from(from.arbitrary::<u8>()?);
        match from.arbitrary::<u8>()? % 4 {
            0 if !self.calls.is_empty() => {
                let at = which % self.calls.len();
                let Pending { what: (call, owned), waiter } = self.calls.swap_remove(at);
                self.waiting.remove(&waiter);
                self.connection.abandon_call(self.now, call);
                if let Some(Owned { key, .. }) = owned {
                    self.release(key);
                }
            }
            1 if !self.confirms.is_empty() => {
                let at = which % self.confirms.len();
                let Pending { what: (key, tag), waiter } = self.confirms.swap_remove(at);
                self.waiting.remove(&waiter);
                self.connection.abandon_confirms(key, tag..tag + 1);
            }
            2 if !self.consumers.is_empty() => {
                let at = which % self.consumers.len();
                let Pending { what: (key, rest), waiter } = self.consumers.swap_remove(at);
                self.waiting.remove(&waiter);
                self.connection.drop_consumer(self.now, key, rest);
            }
            3 => {
                if let Some(waiter) = self.waiting.iter().copied().nth(which) {
                    let is_polled = self.calls.iter().any(|call| call.waiter == waiter);
                    // A call's waiter goes with the call.
                    if !is_polled {
                        self.waiting.remove(&waiter);
                        self.connection.forget_waiter(WaiterId { index: waiter, generation: 0 });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn poll_something(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        let which = usize::from(from.arbitrary::<u8>()?);
        match from.arbitrary::<u8>()? % 8 {
            0..=3 if !self.calls.is_empty() => {
                self.poll_call(which % self.calls.len());
            }
            4 if !self.confirms.is_empty() => {
                self.poll_confirm(which % self.confirms.len());
            }
            5 | 6 if !self.consumers.is_empty() => {
                self.poll_consumer(which % self.consumers.len());
            }
            7 if !self.returns.is_empty() => {
                self.poll_returned(which % self.returns.len());
            }
            _ => {
                // All calls, so that channels are got at.
                for at in (0..self.calls.len()).rev() {
                    self.poll_call(at);
                }
            }
        }
        Ok(())
    }

    /// Polls, and keeps note of who waits. Ready ones are taken out.
    fn poll_call(&mut self, at: usize) -> bool {
        let Pending { what: (call, owned), waiter: index } = self.calls[at];
        match self.connection.poll_call(call, || WaiterId { index, generation: 0 }) {
            Poll::Pending => {
                self.waiting.insert(index);
                false
            }
            Poll::Ready(answer) => {
                self.calls.swap_remove(at);
                self.waiting.remove(&index);
                self.see(|| format!("{call:?}: {answer:?}").replace("NotAmqp", "stranger NotAmqp"));
                match (answer, owned) {
                    (Ok(_), Some(Owned { key, mode: Some(mode) })) => {
                        self.channels.push((key, mode));
                    }
                    (_, Some(Owned { key, .. })) => self.release(key),
                    (Ok(reply), None) => self.got(reply),
                    (Err(_), None) => {}
                }
                true
            }
        }
    }

    fn got(&mut self, reply: Reply) {
        match reply {
            Reply::Opened(key) => {
                self.channels.push((key, Mode::Plain));
                let waiter = self.waiter();
                self.returns.push(Pending { what: key, waiter });
            }
            Reply::Consuming(key) => {
                let waiter = self.waiter();
                self.consumers.push(Pending { what: (key, VecDeque::new()), waiter });
            }
            Reply::Got(key, Some(arrival)) => {
                self.deliveries.push((key, arrival.epoch, arrival.tag));
            }
            _ => {}
        }
    }

    fn poll_confirm(&mut self, at: usize) -> bool {
        let Pending { what: (key, tag), waiter: index } = self.confirms[at];
        let outcome = self.connection.poll_confirm(key, tag, || WaiterId { index, generation: 0 });
        match outcome {
            Poll::Pending => {
                self.waiting.insert(index);
                false
            }
            Poll::Ready(outcome) => {
                self.confirms.swap_remove(at);
                self.waiting.remove(&index);
                self.see(|| format!("confirm {tag}: {outcome:?}"));
                true
            }
        }
    }

    fn poll_consumer(&mut self, at: usize) -> bool {
        let Pending { what: (key, mut got), waiter: index } = self.consumers.swap_remove(at);
        let polled =
            self.connection.poll_consumer(key, &mut got, || WaiterId { index, generation: 0 });
        self.hand_out(key, &mut got);
        match polled {
            Poll::Ready(Some(end)) => {
                self.waiting.remove(&index);
                self.see(|| format!("{key:?}: {end:?}"));
                return true;
            }
            Poll::Ready(None) => {
                self.waiting.remove(&index);
            }
            Poll::Pending => {
                self.waiting.insert(index);
            }
        }
        self.consumers.push(Pending { what: (key, got), waiter: index });
        false
    }

    fn hand_out(&mut self, key: ConsumerKey, got: &mut VecDeque<hopmq::proto::Arrival>) {
        while let Some(arrival) = got.pop_front() {
            assert!(arrival.content.body_len() <= 256, "a body over its limit");
            let properties = arrival.content.properties();
            let shown = (arrival.tag, arrival.epoch, arrival.marks);
            if !arrival.automatic() {
                self.deliveries.push((key.channel, arrival.epoch, arrival.tag));
            }
            let body = arrival.content.into_body().into_bytes();
            self.see(|| format!("{shown:?} {properties:?} {body:?}"));
        }
    }

    fn poll_returned(&mut self, at: usize) -> bool {
        let Pending { what: key, waiter: index } = self.returns[at];
        match self.connection.poll_returned(key, || WaiterId { index, generation: 0 }) {
            Poll::Pending => {
                self.waiting.insert(index);
            }
            Poll::Ready(None) => {
                self.returns.swap_remove(at);
                self.waiting.remove(&index);
                return true;
            }
            Poll::Ready(Some(returned)) => {
                self.waiting.remove(&index);
                let body = returned.content.into_body().into_bytes();
                self.see(|| format!("returned {:?} {:?} {body:?}", returned.code, returned.text));
            }
        }
        false
    }

    /// The connection is closed, if it was not; nothing answers any more. Then everybody knows.
    pub(super) fn end(&mut self) {
        if !self.closed {
            let call = self.connection.close(self.now);
            self.add_call(call);
            self.drain();
        }
        if self.socket == Socket::Up && self.now.as_nanos().is_multiple_of(2) {
            self.lose(Loss::EndOfStream);
        }
        if self.socket == Socket::Dialing {
            self.socket = Socket::None;
            self.connection.handle_dial_failed(self.now, Loss::Unreachable, Retry::Can);
        }
        self.drain();
        self.pass(PATIENCE);
        let ended = self.connection.ended().cloned();
        self.see(|| format!("{ended:?}"));
        assert!(ended.is_some(), "it has not ended: {:?}", self.connection.supervisor().state());
        assert!(self.waiting.is_empty(), "nobody woke {:?}", self.waiting);
        while !self.calls.is_empty() {
            assert!(self.poll_call(self.calls.len() - 1), "a call without an answer");
        }
        while !self.confirms.is_empty() {
            assert!(self.poll_confirm(self.confirms.len() - 1), "a publish without an outcome");
        }
        for _ in 0..self.consumers.len() {
            self.ends_at_once();
        }
        assert_eq!(self.connection.unconfirmed(), 0);
        assert_eq!(self.connection.poll_timeout(), None, "nothing is left to be done");
    }

    /// The consumer in front gives what it holds, then its end.
    fn ends_at_once(&mut self) {
        let before = self.consumers.len();
        for _ in 0..2 {
            if self.poll_consumer(0) {
                return;
            }
            // It was put at the end.
            let last = self.consumers.len() - 1;
            self.consumers.swap(0, last);
        }
        assert!(self.consumers.len() < before, "a consumer that does not end");
    }
}

fn request(from: &mut Unstructured<'_>, mode: Mode) -> Drawn<Request> {
    let queue = || name("q");
    let consumer = 1 + u32::from(from.arbitrary::<u8>()? % 3);
    Ok(match from.arbitrary::<u8>()? % 20 {
        0 => Request::DeclareExchange(ExchangeSpec {
            name: any_name(from)?,
            kind: name("topic"),
            passive: from.arbitrary()?,
            durable: from.arbitrary()?,
            auto_delete: from.arbitrary()?,
            internal: from.arbitrary()?,
            arguments: arguments(from)?,
        }),
        1 => Request::DeleteExchange { name: any_name(from)?, if_unused: from.arbitrary()? },
        2 => Request::BindExchange(binding(from)?),
        3 => Request::UnbindExchange(binding(from)?),
        4 | 5 => Request::DeclareQueue(QueueSpec {
            name: any_name(from)?,
            passive: from.arbitrary()?,
            durable: from.arbitrary()?,
            exclusive: from.arbitrary()?,
            auto_delete: from.arbitrary()?,
            arguments: arguments(from)?,
        }),
        6 => Request::BindQueue(binding(from)?),
        7 => Request::UnbindQueue(binding(from)?),
        8 => Request::PurgeQueue { name: queue() },
        9 => Request::DeleteQueue { name: any_name(from)?, if_unused: false, if_empty: false },
        10 => Request::Limit { prefetch: 7, global: from.arbitrary()? },
        11..=13 => Request::Consume(ConsumeSpec {
            queue: any_name(from)?,
            automatic: from.arbitrary()?,
            exclusive: from.arbitrary()?,
            arguments: arguments(from)?,
            prefetch: from.arbitrary::<bool>()?.then_some(3),
            upkeep: upkeep(from)?,
        }),
        14 => Request::Cancel { consumer },
        15 => Request::Get { queue: queue(), automatic: from.arbitrary()? },
        16..=18 => match mode {
            Mode::Plain if from.ratio(3, 4)? => Request::ConfirmSelect,
            Mode::Plain => Request::TxSelect,
            Mode::Transactional if from.arbitrary()? => Request::TxCommit,
            Mode::Transactional => Request::TxRollback,
            Mode::Confirming => Request::Limit { prefetch: 1, global: true },
        },
        _ if from.ratio(1, 4)? => Request::CloseChannel,
        _ => Request::Limit { prefetch: 0, global: false },
    })
}

fn upkeep(from: &mut Unstructured<'_>) -> Drawn<Upkeep> {
    let all = [WhenCancelled::End, WhenCancelled::Resubscribe, WhenCancelled::Redeclare];
    Ok(Upkeep {
        when_cancelled: *grammar::one_of(from, &all)?,
        queue_is_transient: from.arbitrary()?,
        is_stream: from.arbitrary()?,
    })
}

fn binding(from: &mut Unstructured<'_>) -> Drawn<BindingSpec> {
    Ok(BindingSpec {
        destination: any_name(from)?,
        source: any_name(from)?,
        key: any_name(from)?,
        arguments: arguments(from)?,
    })
}

fn any_name(from: &mut Unstructured<'_>) -> Drawn<ShortString> {
    Ok(name(grammar::text(from)?))
}

fn arguments(from: &mut Unstructured<'_>) -> Drawn<Bytes> {
    let mut content = Vec::new();
    if from.ratio(1, 8)? {
        grammar::table(from, 2, &mut content)?;
    }
    Ok(content.into())
}
