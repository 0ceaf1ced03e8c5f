//! Publishes of a channel: the window, confirms and returns.

use super::*;
use crate::proto::content::total;

impl Channel {
    /// Whether the next publish would exceed the window; then `waiter` is told when it no longer does.
    #[inline]
    pub(in crate::proto) fn window_is_full(
        &mut self,
        size: usize,
        core: &Core,
        waiter: &mut dyn FnMut() -> Option<WaiterId>,
    ) -> bool {
        let limits = &core.limits;
        // A message larger than the window passes when it is alone: it must pass some time.
        let full = self.flow_stopped
            || !self.held.is_empty()
            || self.ledger.outstanding() >= limits.window_messages
            || (self.ledger.outstanding() > 0 && self.ledger.bytes() + size > limits.window_bytes);
        if full {
            self.window_waiters.extend(waiter());
        }
        full
    }

    /// Whoever waited for room in the window, or for an interruption, is gone.
    pub(in crate::proto) fn forget_waiter(&mut self, waiter: WaiterId) {
        self.window_waiters.retain(|waiting| *waiting != waiter);
        for consumer in &mut self.consumers {
            consumer.forget_waiter(waiter);
        }
    }

    /// Keeps a message while the connection is lost, in its place behind what was published before:
    /// it goes out when the connection is back. The window bounds what is kept.
    #[cold]
    pub(in crate::proto) fn keep_for_later(
        &mut self,
        kept: Box<Kept>,
        core: &mut Core,
        waiter: &mut dyn FnMut() -> Option<WaiterId>,
    ) -> Accepted {
        let body = total(&kept.body);
        let weight = body + kept.properties.len();
        match self.window_is_full(weight, core, waiter) {
            true => Accepted::Wait,
            false => {
                let tag = self.ledger.push_unsent(core.now, weight, kept);
                core.traffic.publish(body);
                Accepted::Yes { tag }
            }
        }
    }

    /// What has to go out before a publish does.
    #[inline]
    pub(in crate::proto) fn begin_publish(&mut self, bytes: &mut BytesMut) {
        self.transaction_open |= self.transactional;
        self.flush_acks(bytes);
    }

    /// Whether publishes are confirmed.
    #[inline]
    pub(in crate::proto) fn is_confirming(&self) -> bool {
        self.confirming
    }

    pub(in crate::proto) fn returned(
        &mut self,
        code: ReplyCode,
        text: Arc<str>,
        mut content: Content,
        core: &mut Core,
    ) {
        core.traffic.returned += 1;
        if self.confirming
            && let Some(tag) = sequence(&content)
            && self.ledger.returned(tag, code, text.clone())
        {
            return;
        }
        let returns = self.returns.get_or_insert_default();
        // They wait for whoever may never come.
        content.detach_small();
        returns.bytes += content.weight();
        while returns.queue.len() >= core.limits.returns
            || (!returns.queue.is_empty() && returns.bytes > core.limits.returned_bytes)
        {
            let Some(oldest) = returns.queue.pop_front() else { break };
            returns.bytes -= oldest.content.weight();
        }
        returns.queue.push_back(ReturnedContent { code, text, content });
        core.wakes.extend(returns.waiter.take());
    }

    /// The next message that came back without a publish that waits for it.
    pub(in crate::proto) fn poll_returned(
        &mut self,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ReturnedContent>> {
        let returns = self.returns.get_or_insert_default();
        if let Some(returned) = returns.queue.pop_front() {
            returns.bytes -= returned.content.weight();
            return Poll::Ready(Some(returned));
        }
        if self.ended.is_some() {
            return Poll::Ready(None);
        }
        returns.waiter = Some(waiter());
        Poll::Pending
    }

    pub(in crate::proto) fn confirmed(
        &mut self,
        tag: u64,
        multiple: bool,
        nacked: bool,
        core: &mut Core,
    ) -> Result<(), Violation> {
        let before = self.ledger.outstanding();
        if !self.ledger.settle(tag, multiple, nacked, &mut core.wakes) {
            return Err(Violation::UnknownConfirm { channel: self.id, tag });
        }
        match before - self.ledger.outstanding() {
            // Late ones are legal, and cost the peer nothing.
            0 => core.idle_frame("confirms of what has its outcome")?,
            publishes => core.traffic.answered(publishes, nacked),
        }
        core.wakes.append(&mut self.window_waiters);
        Ok(())
    }

    /// The outcome of a publish.
    pub(in crate::proto) fn poll_confirm(
        &mut self,
        tag: u64,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Outcome> {
        self.ledger.poll(tag, waiter)
    }

    /// Confirms that were due `after` their publish end as overdue.
    pub(in crate::proto) fn expire(&mut self, now: Time, after: Duration, core: &mut Core) {
        // While the connection is lost, what is kept waits for it and not for the broker.
        if self.live && self.ledger.oldest().is_some_and(|oldest| oldest + after <= now) {
            self.ledger.expire(now, after, &mut core.wakes);
            core.wakes.append(&mut self.window_waiters);
        }
    }
}

/// The publish that a returned message belongs to.
fn sequence(content: &Content) -> Option<u64> {
    let headers = content.properties().headers?;
    match headers.get(SEQUENCE_HEADER) {
        Ok(Some(Value::I64(tag))) => u64::try_from(tag).ok(),
        _ => None,
    }
}
