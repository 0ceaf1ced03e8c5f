//! Frames of channels: content to the assembly, methods to the core.

use bytes::Bytes;

use super::{
    At, ChannelState, Core, Hard, Method, ReplyCode, Session,
    assembly::{self, Assembly, Published, Step},
    bad_method, unexpected,
};
use crate::{
    broker::{
        core::{Refusal, Reply},
        event::Budget,
    },
    fsm::Time,
    wire::{Frame, FrameKind, MethodFrame, MethodId, method},
};

impl Session {
    pub(super) fn on_channel(
        &mut self,
        core: &mut Core,
        frame: Frame,
        block: &Bytes,
        now: Time,
    ) -> Result<(), Hard> {
        let at = self.at(frame.channel);
        match core.channel_state(at) {
            ChannelState::Open => self.on_open_channel(core, at, frame, block, now),
            ChannelState::Closing => {
                self.assemblies.remove(&frame.channel);
                self.on_closing_channel(core, at, &frame, block);
                Ok(())
            }
            ChannelState::Unused => self.on_unused_channel(core, at, &frame, block),
        }
    }

    fn on_open_channel(
        &mut self,
        core: &mut Core,
        at: At,
        frame: Frame,
        block: &Bytes,
        now: Time,
    ) -> Result<(), Hard> {
        let assembly = match self.assemblies.is_empty() {
            true => None,
            false => self.assemblies.remove(&at.channel),
        };
        let step = match (frame.kind, assembly) {
            (FrameKind::Method, None) => {
                return self.on_method(core, at, block.slice(frame.payload), now);
            }
            (FrameKind::Method, Some(assembly)) => return Err(assembly.interrupted()),
            (FrameKind::Header, Some(assembly)) => {
                let max = core.limits().max_message_size;
                assembly.header(block.get(frame.payload).unwrap_or_default(), max)?
            }
            (FrameKind::Body, Some(assembly)) => {
                assembly.body(assembly::piece(block, frame.payload), frame.ends)?
            }
            (_, None) => {
                return Err(unexpected("expected method frame, got non method frame instead"));
            }
            (FrameKind::Heartbeat, Some(_)) => return Err(unexpected("a heartbeat on a channel")),
        };
        match step {
            Step::More(assembly) => {
                self.assemblies.insert(at.channel, assembly);
            }
            Step::Complete(published) => self.publish(core, at, published, now),
            Step::TooLarge(size) => {
                let max = core.limits().max_message_size;
                let refusal = Refusal::precondition(format_args!(
                    "message size {size} is larger than configured max size {max}"
                ))
                .for_budget(Budget::MessageSize);
                core.refuse(at, refusal, method::basic::Publish::ID, now);
            }
        }
        Ok(())
    }

    fn publish(&mut self, core: &mut Core, at: At, published: Published, now: Time) {
        // It was decoded once before, when it arrived.
        let Ok(Method::BasicPublish(publish)) = Method::decode(&published.method) else {
            return;
        };
        if let Err(refusal) = core.publish(at, &publish, published.content, now) {
            core.refuse(at, refusal, method::basic::Publish::ID, now);
        }
        self.cut_after(core, method::basic::Publish::ID);
    }

    /// Until the close is confirmed all else is dropped (AMQP 0-9-1 section 4.10).
    fn on_closing_channel(&mut self, core: &mut Core, at: At, frame: &Frame, block: &Bytes) {
        if frame.kind != FrameKind::Method {
            return;
        }
        match Method::decode(block.get(frame.payload.clone()).unwrap_or_default()) {
            Ok(Method::ChannelCloseOk(_)) => core.channel_closed(at),
            Ok(Method::ChannelClose(_)) => core.confirm_close(at),
            _ => {}
        }
    }

    fn on_unused_channel(
        &mut self,
        core: &mut Core,
        at: At,
        frame: &Frame,
        block: &Bytes,
    ) -> Result<(), Hard> {
        if frame.kind != FrameKind::Method {
            return Err(unexpected("expected method frame, got non method frame instead"));
        }
        let payload = block.get(frame.payload.clone()).unwrap_or_default();
        let method = Method::decode(payload).map_err(|error| bad_method(&error, payload))?;
        let Method::ChannelOpen(_) = method else {
            return Err(Hard::new(
                ReplyCode::CHANNEL_ERROR,
                "expected 'channel.open'",
                method.id(),
            ));
        };
        let count = core.channel_count(self.conn);
        if self.channel_max != 0 && count >= usize::from(self.channel_max) {
            return Err(Hard::new(
                ReplyCode::NOT_ALLOWED,
                format_args!(
                    "number of channels opened ({count}) has reached the negotiated channel_max ({})",
                    self.channel_max
                ),
                super::NO_METHOD,
            )
            .for_budget(Budget::Channels));
        }
        core.open_channel(at);
        Ok(())
    }

    fn on_method(
        &mut self,
        core: &mut Core,
        at: At,
        payload: Bytes,
        now: Time,
    ) -> Result<(), Hard> {
        let method = Method::decode(&payload).map_err(|error| bad_method(&error, &payload))?;
        if core.mischief.cut_before == Some(method.id()) {
            core.mischief.cut_before = None;
            self.cut();
            return Ok(());
        }
        if let Method::BasicPublish(_) = method {
            self.assemblies.insert(at.channel, Assembly::new(payload));
            return Ok(());
        }
        if let Err(refusal) = call(core, at, &method, now) {
            core.refuse(at, refusal, method.id(), now);
        }
        self.cut_after(core, method.id());
        Ok(())
    }

    fn cut_after(&mut self, core: &mut Core, method: MethodId) {
        if core.mischief.cut_after == Some(method) {
            core.mischief.cut_after = None;
            self.cut();
        }
    }
}

/// Does what a method without content asks for.
fn call(core: &mut Core, at: At, method: &Method<'_>, now: Time) -> Result<(), Refusal> {
    match method {
        Method::ChannelOpen(_) => {
            Err(Refusal::new(ReplyCode::CHANNEL_ERROR, "second 'channel.open' seen"))
        }
        Method::ChannelClose(_) => {
            core.close_channel(at, now);
            core.confirm_close(at);
            Ok(())
        }
        Method::ChannelFlow(flow) if flow.active => {
            core.reply(at, Reply::FlowOk(true));
            Ok(())
        }
        Method::ChannelFlow(_) => Err(Refusal::not_implemented("active=false")),
        Method::ChannelFlowOk(_) => Ok(()),
        Method::ExchangeDeclare(declare) => core.exchange_declare(at, declare),
        Method::ExchangeDelete(delete) => core.exchange_delete(at, delete),
        Method::ExchangeBind(bind) => core.exchange_bind(at, bind),
        Method::ExchangeUnbind(unbind) => core.exchange_unbind(at, unbind),
        Method::QueueDeclare(declare) => core.queue_declare(at, declare, now),
        Method::QueueBind(bind) => core.queue_bind(at, bind),
        Method::QueueUnbind(unbind) => core.queue_unbind(at, unbind),
        Method::QueuePurge(purge) => core.queue_purge(at, purge, now),
        Method::QueueDelete(delete) => core.queue_delete(at, delete, now),
        Method::BasicQos(qos) => core.qos(at, qos, now),
        Method::BasicConsume(consume) => core.consume(at, consume, now),
        Method::BasicCancel(cancel) => core.cancel(at, cancel, now),
        Method::BasicCancelOk(_) => Ok(()),
        Method::BasicGet(get) => core.get(at, get, now),
        Method::BasicAck(ack) => core.ack(at, ack, now),
        Method::BasicReject(reject) => core.reject(at, reject, now),
        Method::BasicNack(nack) => core.nack(at, nack, now),
        Method::BasicRecoverAsync(recover) => core.recover(at, recover.requeue, true, now),
        Method::BasicRecover(recover) => core.recover(at, recover.requeue, false, now),
        Method::ConfirmSelect(select) => core.confirm_select(at, select),
        Method::TxSelect(_) => core.tx_select(at),
        Method::TxCommit(_) => core.tx_commit(at, now),
        Method::TxRollback(_) => core.tx_rollback(at),
        _ => Err(Refusal::new(ReplyCode::COMMAND_INVALID, "unimplemented method")),
    }
}
