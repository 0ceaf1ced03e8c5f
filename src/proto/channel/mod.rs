//! One channel: its mode, its outstanding calls, its consumers, its publishes.
//!
//! Requests go out at once and in call order; answers come back in that order, since RabbitMQ
//! handles the methods of a channel one at a time, but for the few that
//! [may be overtaken](Request::may_be_overtaken). What a dropped call leaves behind is undone or
//! kept when its answer arrives (see [`Channel::orphan`]).

use std::{collections::VecDeque, sync::Arc, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    Accepted, Arrival, Assembly, CallError, CallId, Cause, ChanStats, ChannelEvent, ChannelKey,
    ChannelMachine, ChannelState, ConsumeSpec, Consumer, ConsumerEnd, ConsumerKey, ConsumerPhase,
    Content, Exception, Interruption, Kept, Ledger, Marks, Operation, Outcome, Reply, Request,
    Scope, Violation, WaiterId, WhenCancelled,
    core::Core,
    head::Head,
    request::consumer_number,
    unsettled::{Ack, Unsettled},
};
use crate::{
    fsm::{Aside, Time},
    wire::{
        Method, MethodFrame, MethodId, ReplyCode, ShortString, Value, encode,
        method::{basic, channel},
    },
};

mod answers;
mod deliveries;
mod publishes;
mod recovery;
mod run;

/// The queue that stands for the reply consumer of a channel
/// (<https://www.rabbitmq.com/docs/direct-reply-to>).
pub const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The private header by which a returned message finds its publish: basic.return carries no tag.
pub const SEQUENCE_HEADER: &str = "x-hopmq-sequence";

/// A request that awaits its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    request: Request,
    /// Who waits; nobody for what the library asks on its own.
    call: Option<CallId>,
    consumer: u32,
}

/// A message that came back to a channel without confirms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReturnedContent {
    /// The reply code, 312 for "no route".
    pub code: ReplyCode,
    /// The broker's text.
    pub text: Arc<str>,
    /// The message; its method is basic.return.
    pub content: Content,
}

/// Messages that came back and have not been fetched yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Returns {
    queue: VecDeque<ReturnedContent>,
    bytes: usize,
    waiter: Option<WaiterId>,
}

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It was processed.
    Ack,
    /// It was not, and goes back to the queue.
    Requeue,
    /// It was not, and is dropped or dead-lettered.
    Reject,
}

/// Why a delivery could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The connection was lost since the delivery; the broker has already put it back.
    #[error("the delivery is stale: the connection was lost since, and the broker requeued it")]
    Stale,
    /// The channel ended; the broker has put the delivery back.
    #[error(transparent)]
    Ended(#[from] Arc<Cause>),
}

/// One channel of a client connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proto) struct Channel {
    pub(in crate::proto) key: ChannelKey,
    pub(in crate::proto) id: u16,
    pub(in crate::proto) machine: ChannelMachine,
    pub(in crate::proto) epoch: u32,
    /// No handle is left: when it has closed, it is forgotten.
    pub(in crate::proto) released: bool,
    pub(in crate::proto) ended: Option<Arc<Cause>>,
    pub(in crate::proto) opening: Option<CallId>,
    pub(in crate::proto) ledger: Ledger,
    /// Made when the first message goes out.
    pub(in crate::proto) head: Aside<Option<Box<Head>>>,
    confirming: bool,
    merges_acks: bool,
    pending: VecDeque<Pending>,
    /// One for each commit that awaits its answer: what is to go out after it, and only then.
    held: VecDeque<BytesMut>,
    assembly: Assembly,
    unsettled: Unsettled,
    consumers: Vec<Consumer>,
    /// One of them reads a stream, whose offsets are counted as deliveries are settled.
    reads_streams: bool,
    next_consumer: u32,
    /// Made when the first message comes back, or somebody listens for it.
    returns: Option<Box<Returns>>,
    window_waiters: Vec<WaiterId>,
    flow_stopped: bool,
    /// Requests go out at once; otherwise they wait for recovery.
    pub(in crate::proto) live: bool,
    /// channel.open-ok is awaited for a channel that its owner has had before.
    reopened: bool,
    /// Both sides closed at once: channel.close-ok is still to come, and the id is not free.
    pub(in crate::proto) awaits_close_ok: bool,
    transactional: bool,
    /// Something was published or settled since the last commit or rollback.
    transaction_open: bool,
    /// It was cut: every call fails until it is rolled back.
    pub(in crate::proto) transaction_lost: bool,
}

impl Channel {
    /// A channel that is to be opened.
    pub(in crate::proto) fn new(
        key: ChannelKey,
        id: u16,
        epoch: u32,
        call: CallId,
        now: Time,
    ) -> Self {
        Channel {
            key,
            id,
            machine: ChannelMachine::new(now),
            epoch,
            released: false,
            ended: None,
            opening: Some(call),
            ledger: Ledger::default(),
            head: Aside::default(),
            confirming: false,
            merges_acks: true,
            pending: VecDeque::new(),
            held: VecDeque::new(),
            assembly: Assembly::Idle,
            unsettled: Unsettled::default(),
            consumers: Vec::new(),
            reads_streams: false,
            next_consumer: 1,
            returns: None,
            window_waiters: Vec::new(),
            flow_stopped: false,
            live: true,
            reopened: false,
            awaits_close_ok: false,
            transactional: false,
            transaction_open: false,
            transaction_lost: false,
        }
    }

    /// Sends channel.open.
    pub(in crate::proto) fn open(&mut self, core: &mut Core) {
        encode::method(&mut core.batch.bytes, self.id, &channel::Open {});
        self.step(ChannelEvent::Open, core);
    }

    /// Sends a request; its answer goes to `call`.
    pub(in crate::proto) fn request(
        &mut self,
        request: Request,
        call: Option<CallId>,
        core: &mut Core,
    ) -> Result<(), CallError> {
        self.check_open()?;
        if self.transaction_lost && !matches!(request, Request::TxRollback) {
            return Err(CallError::TransactionLost);
        }
        let mut consumer = 0;
        if let Request::Consume(spec) = &request {
            consumer = self.next_consumer;
            self.next_consumer = self.next_consumer.wrapping_add(1);
            self.reads_streams |= spec.upkeep.is_stream;
            self.consumers.push(Consumer::new(consumer, spec.clone()));
        }
        match self.live {
            true => self.send_with_prefetch(request, call, consumer, core),
            false => self.pending.push_back(Pending { request, call, consumer }),
        }
        Ok(())
    }

    /// A consumer's prefetch goes out just before it: on RabbitMQ it is then this consumer's own.
    fn send_with_prefetch(
        &mut self,
        request: Request,
        call: Option<CallId>,
        consumer: u32,
        core: &mut Core,
    ) {
        if let Request::Consume(ConsumeSpec { prefetch: Some(prefetch), .. }) = request {
            self.send(Request::Limit { prefetch, global: false }, None, 0, core);
        }
        self.send(request, call, consumer, core);
    }

    fn send(&mut self, request: Request, call: Option<CallId>, consumer: u32, core: &mut Core) {
        self.flush_acks(&mut core.batch.bytes);
        let id = self.id;
        request.encode(self.outbound(&mut core.batch.bytes), id, consumer);
        if let Request::TxCommit | Request::TxRollback = request {
            // What follows is of the next transaction, whether or not this one is answered.
            self.transaction_open = false;
        }
        if request == Request::TxCommit {
            self.held.push_back(BytesMut::new());
        }
        let event = match &request {
            Request::CloseChannel => ChannelEvent::Close,
            other => ChannelEvent::Request(Operation::of(other)),
        };
        self.pending.push_back(Pending { request, call, consumer });
        self.step(event, core);
    }

    /// Where the channel's frames go. RabbitMQ closes the connection (504) for whatever arrives on
    /// a channel while it commits, so that waits for the answer.
    fn outbound<'a>(&'a mut self, batch: &'a mut BytesMut) -> &'a mut BytesMut {
        self.held.back_mut().unwrap_or(batch)
    }

    /// Handles a method; content that follows comes through [`Channel::content`].
    pub(in crate::proto) fn method(
        &mut self,
        method: Method<'_>,
        payload: &Bytes,
        core: &mut Core,
    ) -> Result<(), Violation> {
        if self.ended.is_some() {
            // Both sides closed at once; all but the answer to ours is discarded (2.2.6).
            self.awaits_close_ok &= !matches!(method, Method::ChannelCloseOk(_));
            return Ok(());
        }
        self.assembly.expect_idle(self.id, "a method")?;
        match method {
            Method::BasicDeliver(_) | Method::BasicReturn(_) | Method::BasicGetOk(_) => {
                self.assembly.method(self.id, payload.clone())
            }
            Method::BasicAck(ack) => self.confirmed(ack.delivery_tag, ack.multiple, false, core),
            Method::BasicNack(nack) => self.confirmed(nack.delivery_tag, nack.multiple, true, core),
            Method::BasicCancel(cancel) => self.cancelled_by_broker(cancel, core),
            Method::ChannelFlow(flow) => {
                core.idle_request("channel.flow")?;
                self.flow_stopped = !flow.active;
                // Behind channel.close nothing may follow: the broker would close the connection.
                if !self.is_closing() {
                    let answer = channel::FlowOk { active: flow.active };
                    encode::method(&mut core.batch.bytes, self.id, &answer);
                }
                core.wakes.append(&mut self.window_waiters);
                Ok(())
            }
            Method::ChannelClose(close) => {
                encode::method(&mut core.batch.bytes, self.id, &channel::CloseOk {});
                self.step(ChannelEvent::ClosedByBroker, core);
                // What a commit held back was never sent, our own channel.close included.
                self.awaits_close_ok = self.held.is_empty()
                    && self.pending.iter().any(|pending| pending.request == Request::CloseChannel);
                let exception = exception(Scope::Channel, &close);
                self.end(Arc::new(Cause::Exception(exception)), core);
                Ok(())
            }
            Method::ChannelOpenOk(_) if self.awaits_open() => {
                self.reopened = false;
                let next = self.oldest_operation();
                self.step(ChannelEvent::Opened { next }, core);
                self.opened(core);
                Ok(())
            }
            answer => self.answered(answer, core),
        }
    }

    /// A content header arrived.
    pub(in crate::proto) fn header(
        &mut self,
        payload: Bytes,
        core: &mut Core,
    ) -> Result<(), Violation> {
        match self.assembly.header(self.id, payload, &core.limits)? {
            Some(content) => self.content(content, core),
            None => Ok(()),
        }
    }

    /// A piece of a body arrived.
    pub(in crate::proto) fn body(
        &mut self,
        piece: Bytes,
        ends: bool,
        core: &mut Core,
    ) -> Result<(), Violation> {
        match self.assembly.body(self.id, piece, ends)? {
            Some(content) => self.content(content, core),
            None => Ok(()),
        }
    }

    /// Whether a delivery may begin: no content is being assembled, and the channel has not ended.
    pub(in crate::proto) fn takes_deliveries(&self) -> bool {
        self.ended.is_none() && matches!(self.assembly, Assembly::Idle)
    }

    /// A message is complete.
    pub(in crate::proto) fn content(
        &mut self,
        content: Content,
        core: &mut Core,
    ) -> Result<(), Violation> {
        // The method is decoded from the content itself, which moves on below; what is needed of
        // it is copied first.
        match content.method()? {
            Method::BasicDeliver(deliver) => {
                let number = consumer_number(deliver.consumer_tag.as_bytes());
                let (tag, redelivered) = (deliver.delivery_tag, deliver.redelivered);
                core.traffic.deliver(1, content.body_len(), redelivered.into());
                self.delivered(number, tag, redelivered, content, core)
            }
            Method::BasicGetOk(got) => {
                let (tag, redelivered) = (got.delivery_tag, got.redelivered);
                self.got(tag, redelivered, content, core)
            }
            Method::BasicReturn(returned) => {
                let code = ReplyCode(returned.reply_code);
                let text = Arc::from(returned.reply_text.to_string());
                self.returned(code, text, content, core);
                Ok(())
            }
            other => Err(self.unexpected(other.id())),
        }
    }

    /// No handle is left: the channel closes, and is forgotten when the broker has answered.
    pub(in crate::proto) fn release(&mut self, core: &mut Core) {
        self.released = true;
        if self.opening.is_none() || !self.live {
            self.close(None, core);
        }
    }

    /// Sends channel.close, once.
    pub(in crate::proto) fn close(&mut self, call: Option<CallId>, core: &mut Core) {
        let closing = self.is_closing();
        if self.ended.is_none() && !self.live {
            self.step(ChannelEvent::Lost, core);
            self.end(Arc::new(Cause::ByUs), core);
        }
        if self.ended.is_none() && !closing {
            self.send(Request::CloseChannel, call, 0, core);
        } else if let Some(call) = call {
            core.calls.answer(call, Ok(Reply::Done), &mut core.wakes);
        }
    }

    /// Whether channel.close is on its way: what follows it on the wire would be a frame for a
    /// channel that is not open, for which the broker closes the connection (504).
    #[inline]
    pub(in crate::proto) fn is_closing(&self) -> bool {
        self.pending.back().is_some_and(|last| matches!(last.request, Request::CloseChannel))
    }

    /// Whether something can still be sent.
    #[inline]
    pub(in crate::proto) fn check_open(&self) -> Result<(), Arc<Cause>> {
        match &self.ended {
            Some(cause) => Err(cause.clone()),
            None if self.is_closing() => Err(Arc::new(Cause::ByUs)),
            None => Ok(()),
        }
    }

    /// The channel has ended: everybody who waits for it is told why.
    pub(in crate::proto) fn end(&mut self, cause: Arc<Cause>, core: &mut Core) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(cause.clone());
        let wakes = &mut core.wakes;
        wakes.append(&mut core.watchers);
        if let Some(call) = self.opening.take() {
            core.calls.answer(call, Err(CallError::Ended(cause.clone())), wakes);
        }
        for pending in self.pending.drain(..) {
            if let Some(call) = pending.call {
                let closed = pending.request == Request::CloseChannel;
                let answer =
                    if closed { Ok(Reply::Done) } else { Err(CallError::Ended(cause.clone())) };
                core.calls.answer(call, answer, wakes);
            }
        }
        self.ledger.end(&cause, wakes);
        for consumer in &mut self.consumers {
            let end = match &*cause {
                Cause::ByUs => ConsumerEnd::Cancelled,
                _ => ConsumerEnd::Ended(cause.clone()),
            };
            consumer.finish(end, &mut core.wakes);
            if consumer.caught_up() {
                core.consumer_caught_up();
            }
        }
        let wakes = &mut core.wakes;
        self.assembly = Assembly::Idle;
        self.held.clear();
        wakes.append(&mut self.window_waiters);
        if let Some(returns) = &mut self.returns {
            wakes.extend(returns.waiter.take());
        }
    }

    /// What the oldest outstanding request is about.
    fn oldest_operation(&self) -> Option<Operation> {
        self.pending.front().map(|pending| Operation::of(&pending.request))
    }

    fn step(&mut self, event: ChannelEvent, core: &mut Core) {
        self.machine.step(self.id, event, core);
    }

    fn unexpected(&self, method: MethodId) -> Violation {
        let awaited = match self.pending.front() {
            _ if self.awaits_open() => "channel.open",
            Some(pending) => pending.request.name(),
            None => "no answer",
        };
        Violation::UnexpectedMethod { method, awaited }
    }
}

/// The broker's words in channel.close.
pub(in crate::proto) fn exception(scope: Scope, close: &channel::Close<'_>) -> Exception {
    let method = MethodId { class: close.class_id, method: close.method_id };
    Exception {
        scope,
        code: ReplyCode(close.reply_code),
        text: Arc::from(close.reply_text.to_string()),
        method: (close.class_id != 0).then_some(method),
    }
}
