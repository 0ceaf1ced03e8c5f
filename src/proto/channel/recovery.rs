//! A channel across a lost connection: interrupted, then resumed in the same mode.

use super::*;

impl Channel {
    /// The connection is lost and will be recovered: what was outstanding ends as unknown, what was
    /// delivered is stale, what was asked is asked again.
    pub(in crate::proto) fn interrupt(&mut self, cause: &Arc<Cause>, epoch: u32, core: &mut Core) {
        if self.ended.is_some() {
            // No answer to our channel.close will come any more.
            self.awaits_close_ok = false;
            return;
        }
        if self.machine.state() != ChannelState::Recovering {
            self.step(ChannelEvent::Interrupted, core);
        }
        self.live = false;
        self.reopened = false;
        self.epoch = epoch;
        self.assembly = Assembly::Idle;
        self.held.clear();
        self.unsettled = Unsettled::default();
        self.flow_stopped = false;
        self.ledger.interrupt(cause, &mut core.wakes);
        self.interrupt_consumers(cause, core);
        self.interrupt_pending(cause, core);
        // Also what follows a rollback that was under way: it is of the next transaction.
        self.transaction_lost |= std::mem::take(&mut self.transaction_open);
        core.wakes.append(&mut self.window_waiters);
        if self.opening.is_some_and(|call| core.calls.fails_fast(call)) {
            // Nobody will have this channel.
            self.released = true;
            self.step(ChannelEvent::Lost, core);
            self.end(cause.clone(), core);
        }
    }

    /// Asked for while the connection is lost: opened when it is back.
    pub(in crate::proto) fn wait_for_recovery(&mut self, core: &mut Core) {
        self.step(ChannelEvent::Interrupted, core);
    }

    fn interrupt_consumers(&mut self, cause: &Arc<Cause>, core: &mut Core) {
        for consumer in &mut self.consumers {
            if consumer.caught_up() {
                core.consumer_caught_up();
            }
            consumer.interrupt(core.now, cause);
            if consumer.phase == ConsumerPhase::Cancelling {
                consumer.finish(ConsumerEnd::Cancelled, &mut core.wakes);
            }
        }
        self.consumers.retain(|consumer| !(consumer.orphaned && consumer.end.is_some()));
    }

    /// Requests that the cut itself has answered, or that do not wait, are answered; the others are kept to be sent again.
    fn interrupt_pending(&mut self, cause: &Arc<Cause>, core: &mut Core) {
        // A request may be what the broker closed the connection for: asked again, it would again.
        let at_fault = matches!(&**cause, Cause::Exception(exception) if exception.code.is_connection_error()
            && exception.code != ReplyCode::CONNECTION_FORCED);
        let mut closed = false;
        for pending in std::mem::take(&mut self.pending) {
            let fails = at_fault || pending.call.is_some_and(|call| core.calls.fails_fast(call));
            let answer = match &pending.request {
                // What the library asked on its own is asked anew by `resume`.
                _ if pending.call.is_none()
                    && !matches!(pending.request, Request::CloseChannel) =>
                {
                    continue;
                }
                // Whether it took effect is unknown; the next transaction starts afresh.
                Request::TxCommit => Err(CallError::TransactionLost),
                Request::TxRollback => {
                    self.transaction_lost = false;
                    Ok(Reply::Done)
                }
                Request::Cancel { .. } => Ok(Reply::Done),
                Request::Consume(_) if fails => {
                    self.consumers.retain(|found| found.number != pending.consumer);
                    Err(CallError::Ended(cause.clone()))
                }
                Request::CloseChannel => {
                    closed = true;
                    Ok(Reply::Done)
                }
                _ if fails => Err(CallError::Ended(cause.clone())),
                _ => {
                    self.pending.push_back(pending);
                    continue;
                }
            };
            if let Some(call) = pending.call {
                core.calls.answer(call, answer, &mut core.wakes);
            }
        }
        if closed {
            self.step(ChannelEvent::Lost, core);
            self.end(Arc::new(Cause::ByUs), core);
        }
    }

    /// The connection is back and the topology with it: open again under this id, in the same mode,
    /// with the same consumers; then send what was asked meanwhile.
    pub(in crate::proto) fn resume(&mut self, id: u16, frame_max: usize, core: &mut Core) {
        self.id = id;
        self.live = true;
        self.reopened = self.opening.is_none();
        let waiting = std::mem::take(&mut self.pending);
        self.open(core);
        if self.confirming {
            self.send(Request::ConfirmSelect, None, 0, core);
        }
        if self.transactional {
            self.send(Request::TxSelect, None, 0, core);
        }
        self.replay(frame_max, core);
        self.resume_consumers(&waiting, core);
        for Pending { request, call, consumer } in waiting {
            // Whoever gave up before it was sent does not want its effect any more.
            if call.is_none_or(|call| core.calls.is_waiting(call)) {
                self.send_with_prefetch(request, call, consumer, core);
            } else if matches!(request, Request::Consume(_)) {
                self.consumers.retain(|found| found.number != consumer);
            }
        }
    }

    /// Publishes again what was kept, in its order and in front of anything new.
    fn replay(&mut self, frame_max: usize, core: &mut Core) {
        for (tag, kept, again) in self.ledger.replay(core.now) {
            let head = self.head.get_or_insert_default();
            head.turn_to(self.id, &kept.route());
            head.append(&mut core.batch, &kept.encoded(), tag, frame_max);
            *core.replayed += u64::from(again);
        }
    }

    fn resume_consumers(&mut self, waiting: &VecDeque<Pending>, core: &mut Core) {
        let asked_for = |number: u32| {
            waiting.iter().any(|pending| {
                matches!(pending.request, Request::Consume(_)) && pending.consumer == number
            })
        };
        let again: Vec<(u32, ConsumeSpec)> = self
            .consumers
            .iter()
            .filter(|consumer| {
                consumer.phase == ConsumerPhase::Active && !asked_for(consumer.number)
            })
            .map(|consumer| (consumer.number, consumer.resumed()))
            .collect();
        for (number, spec) in again {
            self.send_with_prefetch(Request::Consume(spec), None, number, core);
        }
    }

    /// A queue could not be declared again: its consumers wait for it or end with the reason. Of one
    /// that was asked for and never served that is the answer: asked again, for a queue that is not
    /// there, the broker would close the channel.
    pub(in crate::proto) fn queue_was_not_recovered(
        &mut self,
        queue: &ShortString,
        cause: &Arc<Cause>,
        core: &mut Core,
    ) {
        self.pending.retain(|pending| {
            let Request::Consume(spec) = &pending.request else { return true };
            if spec.queue != *queue {
                return true;
            }
            self.consumers.retain(|found| found.number != pending.consumer);
            if let Some(call) = pending.call {
                core.calls.answer(call, Err(CallError::Ended(cause.clone())), &mut core.wakes);
            }
            false
        });
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.spec.queue == *queue) {
            consumer.lose_queue(core.now, ConsumerEnd::Ended(cause.clone()), &mut core.wakes);
        }
    }

    /// The connection is about to be closed: consumers are cancelled, and what waits for them goes
    /// back to the queue.
    pub(in crate::proto) fn stop_consuming(&mut self, core: &mut Core) {
        let numbers: Vec<u32> = self.consumers.iter().map(|consumer| consumer.number).collect();
        for number in numbers {
            let _ = self.cancel_consumer(number, None, ConsumerEnd::Cancelled, core);
        }
        for consumer in &mut self.consumers {
            if consumer.caught_up() {
                core.consumer_caught_up();
            }
            if !consumer.spec.automatic {
                consumer.put_back(VecDeque::new(), self.epoch);
            }
        }
        self.forget_orphans(core);
    }

    /// Deliveries that this program holds and has not settled.
    pub(in crate::proto) fn unsettled(&self) -> usize {
        let buffered = self.consumers.iter().filter(|consumer| !consumer.spec.automatic);
        let buffered: usize = buffered.map(Consumer::waiting).sum();
        self.unsettled.outstanding().saturating_sub(buffered)
    }

    /// What is going on on it.
    pub(in crate::proto) fn stats(&self) -> ChanStats {
        let receives = |consumer: &&Consumer| {
            matches!(consumer.phase, ConsumerPhase::Active | ConsumerPhase::Away)
        };
        ChanStats {
            consumers: self.consumers.iter().filter(receives).count(),
            unsettled: self.unsettled(),
            unconfirmed: self.ledger.outstanding(),
            has_open_transaction: self.transaction_open || self.transaction_lost,
        }
    }

    /// Bytes of deliveries that wait for their consumers.
    pub(in crate::proto) fn waiting_len(&self) -> usize {
        self.consumers.iter().map(Consumer::bytes).sum()
    }

    /// Whether something is being deleted.
    pub(in crate::proto) fn is_deleting(&self) -> bool {
        self.pending.iter().any(|pending| {
            matches!(
                pending.request,
                Request::DeleteExchange { .. }
                    | Request::DeleteQueue { .. }
                    | Request::UnbindExchange(_)
                    | Request::UnbindQueue(_)
            )
        })
    }

    /// Queues that consumers wait for, with what these were told to do.
    pub(in crate::proto) fn awaited_queues(
        &self,
    ) -> impl Iterator<Item = (&ShortString, WhenCancelled)> {
        let away = self.consumers.iter().filter(|found| found.phase == ConsumerPhase::Away);
        away.map(|found| (&found.spec.queue, found.spec.upkeep.when_cancelled))
    }

    /// Queues whose consumers would wait if they were gone.
    pub(in crate::proto) fn patient_queues(&self) -> impl Iterator<Item = &ShortString> {
        let patient = self.consumers.iter().filter(|found| {
            found.phase == ConsumerPhase::Active
                && found.spec.upkeep.when_cancelled != WhenCancelled::End
        });
        patient.map(|found| &found.spec.queue)
    }

    /// A queue that consumers waited for is there: they subscribe again.
    pub(in crate::proto) fn queue_is_back(&mut self, queue: &ShortString, core: &mut Core) {
        let mut again = Vec::new();
        for consumer in self
            .consumers
            .iter_mut()
            .filter(|found| found.phase == ConsumerPhase::Away && found.spec.queue == *queue)
        {
            consumer.phase = ConsumerPhase::Active;
            again.push((consumer.number, consumer.resumed()));
        }
        // Otherwise `resume` asks for them, with the others.
        if self.live && self.check_open().is_ok() {
            for (number, spec) in again {
                self.send_with_prefetch(Request::Consume(spec), None, number, core);
            }
        }
    }

    /// Their queues have not come back in time: who waits for them ends, and is told why.
    pub(in crate::proto) fn end_waiting(&mut self, core: &mut Core) {
        for consumer in &mut self.consumers {
            if let Some(why) = consumer.why_away() {
                consumer.finish(why, &mut core.wakes);
            }
        }
    }

    /// A queue whose name the broker chose has a new one.
    pub(in crate::proto) fn rename_queue(&mut self, old: &ShortString, new: &ShortString) {
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.spec.queue == *old) {
            consumer.spec.queue = new.clone();
        }
        for pending in &mut self.pending {
            pending.request.rename_queue(old, new);
        }
        self.ledger.rename_queue(old, new);
    }

    /// Whether a live consumer consumes from this queue.
    pub(in crate::proto) fn consumes_from(&self, queue: &ShortString) -> bool {
        self.consumers.iter().any(|found| found.end.is_none() && found.spec.queue == *queue)
    }
}
