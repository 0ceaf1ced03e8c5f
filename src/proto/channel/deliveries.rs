//! Consumers of a channel, and the settlement of what they got.

use super::*;

/// A consumer, and what waits for it.
pub(in crate::proto) struct Holder {
    pub(in crate::proto) number: u32,
    pub(in crate::proto) messages: usize,
    pub(in crate::proto) bytes: usize,
}

impl Channel {
    /// Settles one delivery. True when an ack now waits for the next flush.
    #[inline]
    pub(in crate::proto) fn settle(
        &mut self,
        epoch: u32,
        tag: u64,
        how: Settlement,
        bytes: &mut BytesMut,
    ) -> Result<bool, SettleError> {
        self.check_open()?;
        if epoch != self.epoch {
            return Err(SettleError::Stale);
        }
        self.transaction_open |= self.transactional;
        let merged = match how == Settlement::Ack && self.merges_acks {
            true => self.unsettled.ack(tag),
            false if self.unsettled.settle(tag) => Ack::Alone,
            false => Ack::Unknown,
        };
        if merged == Ack::Unknown {
            return Err(SettleError::Stale);
        }
        if self.reads_streams {
            self.consumers.iter_mut().for_each(|consumer| consumer.settled(tag));
        }
        if merged == Ack::Alone {
            self.send_settlement(tag, how, bytes);
        }
        Ok(merged == Ack::Merged)
    }

    /// Tells the broker of one delivery by a method of its own.
    #[cold]
    fn send_settlement(&mut self, tag: u64, how: Settlement, bytes: &mut BytesMut) {
        let (id, bytes) = (self.id, self.outbound(bytes));
        match how {
            Settlement::Ack => {
                encode::method(bytes, id, &basic::Ack { delivery_tag: tag, multiple: false });
            }
            Settlement::Requeue | Settlement::Reject => {
                let requeue = how == Settlement::Requeue;
                encode::method(bytes, id, &basic::Reject { delivery_tag: tag, requeue });
            }
        }
    }

    /// Deliveries are acknowledged each on its own, when they are.
    pub(in crate::proto) fn never_merge_acks(&mut self) {
        self.merges_acks = false;
    }

    /// Whether an ack waits for the next flush.
    pub(in crate::proto) fn ack_is_due(&self) -> bool {
        self.unsettled.is_due()
    }

    /// Writes the ack that covers all that was acknowledged in order.
    #[inline]
    pub(in crate::proto) fn flush_acks(&mut self, bytes: &mut BytesMut) {
        if self.unsettled.is_due() {
            self.flush_due_ack(bytes);
        }
    }

    fn flush_due_ack(&mut self, bytes: &mut BytesMut) {
        if let Some(delivery_tag) = self.unsettled.take_due() {
            let (id, bytes) = (self.id, self.outbound(bytes));
            encode::method(bytes, id, &basic::Ack { delivery_tag, multiple: true });
        }
    }

    pub(in crate::proto) fn delivered(
        &mut self,
        consumer: Option<u32>,
        tag: u64,
        redelivered: bool,
        content: Content,
        core: &mut Core,
    ) -> Result<(), Violation> {
        let consumer = self
            .consumers
            .iter_mut()
            .find(|found| Some(found.number) == consumer)
            .ok_or(Violation::UnknownConsumer(self.id))?;
        let automatic = consumer.spec.automatic;
        let in_turn = match consumer.spec.queue.as_str() {
            DIRECT_REPLY_TO => self.unsettled.replied(tag),
            _ => self.unsettled.delivered(tag, !automatic),
        };
        if !in_turn {
            return Err(self.unexpected(basic::Deliver::ID));
        }
        if consumer.is_unwanted() {
            return match consumer.discard(tag, automatic) {
                true => Ok(()),
                false => Err(Violation::Flood("deliveries for a cancelled consumer")),
            };
        }
        if self.reads_streams {
            consumer.reads(tag, &content);
        }
        let epoch = self.epoch;
        let marks = Marks::new(redelivered, automatic);
        let arrival = Arrival { tag, epoch, marks, content };
        let charge = consumer.push(arrival);
        consumer.has_more(1, charge, core);
        Ok(())
    }

    pub(in crate::proto) fn got(
        &mut self,
        tag: u64,
        redelivered: bool,
        content: Content,
        core: &mut Core,
    ) -> Result<(), Violation> {
        let id = basic::GetOk::ID;
        let asked =
            self.pending.iter().enumerate().find(|(_, one)| !one.request.may_be_overtaken());
        let Some((at, Pending { request: Request::Get { automatic, .. }, call, .. })) = asked
        else {
            return Err(self.unexpected(id));
        };
        if self.awaits_open() {
            return Err(self.unexpected(id));
        }
        let (automatic, call) = (*automatic, *call);
        if !self.unsettled.delivered(tag, !automatic) {
            return Err(self.unexpected(id));
        }
        core.traffic.deliver(1, content.body_len(), redelivered.into());
        let marks = Marks::new(redelivered, automatic);
        let arrival = Arrival { tag, epoch: self.epoch, marks, content };
        self.finish_pending(at, core);
        // Where nobody waits any more the message goes back.
        match call.filter(|call| core.calls.is_waiting(*call)) {
            Some(call) => {
                let reply = Reply::Got(self.key, Some(Box::new(arrival)));
                core.calls.answer(call, Ok(reply), &mut core.wakes);
            }
            None => self.give_back(&arrival, core),
        }
        Ok(())
    }

    pub(in crate::proto) fn cancelled_by_broker(
        &mut self,
        cancel: basic::Cancel<'_>,
        core: &mut Core,
    ) -> Result<(), Violation> {
        match cancel.no_wait {
            true => core.idle_frame("basic.cancel")?,
            false => core.idle_request("basic.cancel")?,
        }
        let number = consumer_number(cancel.consumer_tag.as_bytes());
        // One that we cancelled at the same time is gone already; that is not an error.
        if let Some(consumer) =
            self.consumers.iter_mut().find(|consumer| Some(consumer.number) == number)
        {
            consumer.lose_queue(core.now, ConsumerEnd::CancelledByBroker, &mut core.wakes);
            match consumer.phase {
                ConsumerPhase::Away => {
                    core.topology.queue_is_away(&consumer.spec.queue);
                    core.queues_are_away = true;
                }
                // The queue is gone; recovery must not bring it back.
                _ => core.topology.queue_is_gone(&consumer.spec.queue),
            }
        }
        // Behind channel.close nothing may follow.
        if !cancel.no_wait && !self.is_closing() {
            let answer = basic::CancelOk { consumer_tag: cancel.consumer_tag };
            encode::method(&mut core.batch.bytes, self.id, &answer);
        }
        self.forget_orphans(core);
        Ok(())
    }

    /// Consumers that hold what arrived for them, and can be told to stop.
    pub(in crate::proto) fn holders(&self) -> impl Iterator<Item = Holder> + '_ {
        let is_open = self.check_open().is_ok();
        let active = self.consumers.iter().filter(move |consumer| is_open && consumer.is_active());
        active.map(|consumer| Holder {
            number: consumer.number,
            messages: consumer.buffered(),
            bytes: consumer.bytes(),
        })
    }

    /// Copies what has waited since the last time out of where it was read.
    pub(in crate::proto) fn detach_waiting(&mut self) {
        self.consumers.iter_mut().for_each(Consumer::detach_old);
    }

    /// Deliveries for a consumer, or its end.
    pub(in crate::proto) fn poll_consumer(
        &mut self,
        key: ConsumerKey,
        into: &mut VecDeque<Arrival>,
        core: &mut Core,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ConsumerEnd>> {
        let Some(consumer) =
            self.consumers.iter_mut().find(|consumer| consumer.number == key.number)
        else {
            return Poll::Ready(Some(ConsumerEnd::Cancelled));
        };
        let polled = consumer.poll(into, waiter);
        if polled.is_ready() && consumer.caught_up() {
            core.consumer_caught_up();
        }
        polled
    }

    /// What interrupted a consumer next.
    pub(in crate::proto) fn poll_interruption(
        &mut self,
        number: u32,
        cursor: &mut u64,
        waiter: impl FnOnce() -> Option<WaiterId>,
    ) -> Poll<Option<Interruption>> {
        match self.consumers.iter_mut().find(|consumer| consumer.number == number) {
            Some(consumer) => consumer.poll_interruption(cursor, waiter),
            None => Poll::Ready(None),
        }
    }

    /// Cancels a consumer. Its stream ends once the broker has answered.
    pub(in crate::proto) fn cancel_consumer(
        &mut self,
        number: u32,
        call: Option<CallId>,
        end: ConsumerEnd,
        core: &mut Core,
    ) -> Result<(), CallError> {
        self.check_open()?;
        let consumer = self.consumers.iter_mut().find(|consumer| consumer.number == number);
        match consumer {
            Some(consumer) if !self.live || consumer.phase == ConsumerPhase::Away => {
                // The connection is lost and its deliveries with it, or the queue is: there is
                // nothing to cancel.
                consumer.finish(end, &mut core.wakes);
                if !self.live {
                    consumer.forget_waiting();
                }
                core.consumers_left.push(consumer.spec.queue.clone());
                if let Some(call) = call {
                    core.calls.answer(call, Ok(Reply::Done), &mut core.wakes);
                }
            }
            Some(consumer) if consumer.phase == ConsumerPhase::Active => {
                consumer.phase = ConsumerPhase::Cancelling;
                if end == ConsumerEnd::Overrun {
                    consumer.end = Some(end);
                }
                self.send(Request::Cancel { consumer: number }, call, number, core);
            }
            _ => {
                if let Some(call) = call {
                    core.calls.answer(call, Ok(Reply::Done), &mut core.wakes);
                }
            }
        }
        Ok(())
    }

    /// The owner of a consumer is gone: cancel it, and return what it did not take.
    pub(in crate::proto) fn orphan_consumer(
        &mut self,
        number: u32,
        rest: VecDeque<Arrival>,
        core: &mut Core,
    ) {
        if let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.number == number)
        {
            if consumer.caught_up() {
                core.consumer_caught_up();
            }
            consumer.abandon(rest, self.epoch);
        }
        let _ = self.cancel_consumer(number, None, ConsumerEnd::Cancelled, core);
        self.forget_orphans(core);
    }

    /// Cancels every consumer that has fallen behind. For one that has ended meanwhile reading goes
    /// on all the same.
    pub(in crate::proto) fn cancel_overrun(&mut self, core: &mut Core) {
        let behind: Vec<u32> = self
            .consumers
            .iter_mut()
            .filter_map(|consumer| consumer.caught_up().then_some(consumer.number))
            .collect();
        for number in behind {
            core.consumer_caught_up();
            let ended = |found: &Consumer| found.number == number && found.end.is_some();
            if !self.consumers.iter().any(ended) {
                let _ = self.cancel_consumer(number, None, ConsumerEnd::Overrun, core);
            }
        }
    }

    /// Returns to the queue what of ended consumers nobody will take, and forgets those without an
    /// owner. Not earlier: the broker would deliver it to the same consumer again.
    pub(in crate::proto) fn forget_orphans(&mut self, core: &mut Core) {
        let mut rest = Vec::new();
        self.consumers.retain_mut(|consumer| {
            let ended = consumer.phase == ConsumerPhase::Ended;
            if ended {
                rest.extend(consumer.take_unwanted());
            }
            !(ended && consumer.orphaned)
        });
        for tag in rest {
            self.requeue(tag, core);
        }
    }

    /// Returns a delivery to its queue. One of an earlier epoch is there already, and its tag means
    /// another one now.
    pub(in crate::proto) fn give_back(&mut self, arrival: &Arrival, core: &mut Core) {
        if !arrival.automatic() && arrival.epoch == self.epoch {
            self.requeue(arrival.tag, core);
        }
    }

    fn requeue(&mut self, tag: u64, core: &mut Core) {
        let bytes = &mut core.batch.bytes;
        let requeued = self.settle(self.epoch, tag, Settlement::Requeue, bytes);
        debug_assert!(
            requeued.is_ok() || self.check_open().is_err(),
            "a delivery that nobody took is owed"
        );
    }
}
