//! Answers to a channel's requests, and what they change.

use super::*;

impl Channel {
    /// An answer to an outstanding request arrived.
    pub(in crate::proto) fn answered(
        &mut self,
        answer: Method<'_>,
        core: &mut Core,
    ) -> Result<(), Violation> {
        let Some((at, pending)) = self.asked(&answer) else {
            return Err(self.unexpected(answer.id()));
        };
        let reply = self.reply(pending, answer).ok_or_else(|| self.unexpected(answer.id()))?;
        let Some(done) = self.finish_pending(at, core) else { return Ok(()) };
        core.topology.record(&done.request, &reply);
        self.take_effect(&done, core);
        let heard = match done.call {
            Some(call) => core.calls.answer(call, Ok(reply), &mut core.wakes),
            None => true,
        };
        if !heard {
            self.orphan(&done, core);
        }
        if done.request == Request::CloseChannel {
            self.end(Arc::new(Cause::ByUs), core);
        }
        Ok(())
    }

    /// Which outstanding request this answers: the oldest, but for those that may be overtaken.
    pub(super) fn asked(&self, answer: &Method<'_>) -> Option<(usize, &Pending)> {
        if self.awaits_open() {
            return None;
        }
        self.pending.iter().enumerate().find(|(_, pending)| match (&pending.request, answer) {
            (Request::Consume(_), Method::BasicConsumeOk(ok)) => {
                consumer_number(ok.consumer_tag.as_bytes()) == Some(pending.consumer)
            }
            (Request::Cancel { consumer }, Method::BasicCancelOk(ok)) => {
                consumer_number(ok.consumer_tag.as_bytes()) == Some(*consumer)
            }
            (Request::TxCommit, Method::TxCommitOk(_)) => true,
            (request, _) => !request.may_be_overtaken(),
        })
    }

    /// Whether channel.open is not answered yet: what was asked right behind it is not, either.
    pub(super) fn awaits_open(&self) -> bool {
        self.opening.is_some() || self.reopened
    }

    /// The reply that this method is to this request, if it is one.
    pub(super) fn reply(&self, pending: &Pending, answer: Method<'_>) -> Option<Reply> {
        use Request as R;
        Some(match (&pending.request, answer) {
            (R::DeclareExchange(_), Method::ExchangeDeclareOk(_))
            | (R::DeleteExchange { .. }, Method::ExchangeDeleteOk(_))
            | (R::BindExchange(_), Method::ExchangeBindOk(_))
            | (R::UnbindExchange(_), Method::ExchangeUnbindOk(_))
            | (R::BindQueue(_), Method::QueueBindOk(_))
            | (R::UnbindQueue(_), Method::QueueUnbindOk(_))
            | (R::Limit { .. }, Method::BasicQosOk(_))
            | (R::Cancel { .. }, Method::BasicCancelOk(_))
            | (R::ConfirmSelect, Method::ConfirmSelectOk(_))
            | (R::TxSelect, Method::TxSelectOk(_))
            | (R::TxCommit, Method::TxCommitOk(_))
            | (R::TxRollback, Method::TxRollbackOk(_))
            | (R::CloseChannel, Method::ChannelCloseOk(_)) => Reply::Done,
            (R::DeclareQueue(_), Method::QueueDeclareOk(ok)) => Reply::Declared {
                name: ShortString::from_short_lossy(ok.queue),
                messages: ok.message_count,
                consumers: ok.consumer_count,
            },
            (R::PurgeQueue { .. }, Method::QueuePurgeOk(ok)) => {
                Reply::Removed { messages: ok.message_count }
            }
            (R::DeleteQueue { .. }, Method::QueueDeleteOk(ok)) => {
                Reply::Removed { messages: ok.message_count }
            }
            (R::Consume(_), Method::BasicConsumeOk(_)) => {
                Reply::Consuming(ConsumerKey { channel: self.key, number: pending.consumer })
            }
            (R::Get { .. }, Method::BasicGetEmpty(_)) => Reply::Got(self.key, None),
            _ => return None,
        })
    }

    pub(super) fn finish_pending(&mut self, at: usize, core: &mut Core) -> Option<Pending> {
        let done = self.pending.remove(at)?;
        let event = match done.request {
            Request::CloseChannel => ChannelEvent::CloseOk,
            ref request => {
                ChannelEvent::Answer { to: Operation::of(request), next: self.oldest_operation() }
            }
        };
        self.step(event, core);
        Some(done)
    }

    /// What an answer changes here, whether or not somebody waited for it.
    pub(super) fn take_effect(&mut self, done: &Pending, core: &mut Core) {
        match &done.request {
            Request::ConfirmSelect => self.confirming = true,
            Request::TxSelect => self.transactional = true,
            Request::TxRollback => self.transaction_lost = false,
            Request::Consume(_) => {
                let found = self.consumers.iter_mut().find(|found| found.number == done.consumer);
                if let Some(consumer) = found {
                    consumer.is_served(core.now, &mut core.wakes);
                }
            }
            Request::TxCommit => {
                if let Some(held) = self.held.pop_front() {
                    core.batch.bytes.extend_from_slice(&held);
                    core.wakes.append(&mut self.window_waiters);
                }
            }
            Request::Cancel { consumer } => {
                if let Some(consumer) =
                    self.consumers.iter_mut().find(|found| found.number == *consumer)
                {
                    consumer.finish(ConsumerEnd::Cancelled, &mut core.wakes);
                    core.consumers_left.push(consumer.spec.queue.clone());
                }
                self.forget_orphans(core);
            }
            _ => {}
        }
    }

    /// Undoes what nobody holds a handle to: a consumer whose future was dropped is cancelled.
    pub(super) fn orphan(&mut self, done: &Pending, core: &mut Core) {
        if let Request::Consume(_) = done.request {
            self.orphan_consumer(done.consumer, VecDeque::new(), core);
        }
    }

    /// Undoes an answer that arrived but was never taken.
    pub(in crate::proto) fn orphan_reply(&mut self, reply: Reply, core: &mut Core) {
        match reply {
            Reply::Consuming(key) => self.orphan_consumer(key.number, VecDeque::new(), core),
            Reply::Got(_, Some(arrival)) => self.give_back(&arrival, core),
            _ => {}
        }
    }

    pub(in crate::proto) fn opened(&mut self, core: &mut Core) {
        let Some(call) = self.opening.take() else { return };
        let reply = Reply::Opened(self.key);
        if !core.calls.answer(call, Ok(reply), &mut core.wakes) {
            self.release(core);
        }
    }
}
