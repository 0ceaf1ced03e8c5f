//! How the connection opens, breaks and ends.

use super::*;

impl Connection {
    pub(super) fn opened(&mut self, negotiated: Negotiated) {
        let now = self.core.now;
        self.link = Link::Up;
        self.turn = None;
        self.epoch += 1;
        self.late = false;
        self.decoder.set_frame_max(negotiated.frame_max);
        self.heartbeat = Heartbeat::new(negotiated.heartbeat, now);
        self.ids = ChannelIds::new(negotiated.channel_max);
        self.negotiated = Some(Arc::new(negotiated));
        self.supervise(supervisor::Event::Opened { attempt: self.attempt });
        if matches!(
            self.supervisor.state(),
            supervisor::State::Connected | supervisor::State::Degraded
        ) {
            // Where nothing is to be recovered first, channels are opened that were asked for before.
            self.resume_waiting();
        }
        if let Some(call) = self.connecting.take() {
            self.core.calls.answer(call, Ok(Reply::Done), &mut self.core.wakes);
        }
    }

    pub(super) fn closed_by_broker(&mut self, close: &connection::Close<'_>) {
        encode::method(&mut self.core.batch.bytes, 0, &connection::CloseOk {});
        self.actions.push_back(Action::Shut);
        let exception = Exception {
            scope: Scope::Connection,
            code: ReplyCode(close.reply_code),
            text: Arc::from(close.reply_text.to_string()),
            method: (close.class_id != 0)
                .then_some(MethodId { class: close.class_id, method: close.method_id }),
        };
        let shaking_hands = matches!(self.link, Link::Handshake(_));
        let code = exception.code;
        let cause = Cause::Exception(exception);
        if !shaking_hands {
            return self.lost(cause);
        }
        match code {
            // Wrong credentials, a missing virtual host: neither a retry nor another host mends that.
            ReplyCode::ACCESS_REFUSED | ReplyCode::NOT_ALLOWED => {
                self.attempt_failed(cause, Retry::Never);
            }
            ReplyCode::CONNECTION_FORCED => self.host_failed(cause, Retry::Can),
            _ => self.host_failed(cause, Retry::Never),
        }
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        let code = match &violation {
            Violation::Frame(_) | Violation::BodyTooLong(_) => ReplyCode::FRAME_ERROR,
            Violation::Method(_) | Violation::ContentHeader(_) => ReplyCode::SYNTAX_ERROR,
            Violation::UnknownChannel(_) => ReplyCode::CHANNEL_ERROR,
            Violation::Flood(_) => ReplyCode::RESOURCE_ERROR,
            _ => ReplyCode::UNEXPECTED_FRAME,
        };
        let was_up = matches!(self.link, Link::Up);
        if was_up {
            // A peer that does not speak AMQP would not understand it, an open one does.
            self.send_close(code, &violation.to_string());
        }
        self.actions.push_back(Action::Shut);
        match self.link {
            Link::Closing => self.finish_close(),
            Link::Up => self.lost(Cause::Violation(violation)),
            _ => {
                self.core.clear_batch();
                // Where a broker was, something else may answer for a while, such as a proxy.
                let retry = if self.epoch == 0 { Retry::Never } else { Retry::Can };
                self.host_failed(Cause::Violation(violation), retry);
            }
        }
    }

    /// The handshake with a host came to nothing, and another may do better.
    pub(super) fn host_failed(&mut self, cause: Cause, retry: Retry) {
        match self.turn.take() {
            Some((_, Turn { among_others: true, .. })) => {
                self.link = Link::Down;
                self.core.clear_batch();
                self.actions.push_back(Action::DialNext { cause: Arc::new(cause) });
            }
            _ => self.attempt_failed(cause, retry),
        }
    }

    /// An attempt to connect came to nothing.
    pub(super) fn attempt_failed(&mut self, cause: Cause, retry: Retry) {
        self.link = Link::Down;
        self.turn = None;
        let cause = self.keep(cause);
        self.supervise(supervisor::Event::Failed { attempt: self.attempt, retry, cause });
    }

    /// An open connection broke.
    pub(super) fn lost(&mut self, cause: Cause) {
        self.link = Link::Down;
        self.blocked = None;
        let cause = self.keep(cause);
        self.supervise(supervisor::Event::Lost { retry: Retry::Can, cause });
        if self.ended.is_none() {
            self.interrupt_channels();
        }
    }

    pub(super) fn finish_close(&mut self) {
        self.link = Link::Down;
        self.supervise(supervisor::Event::Closed);
    }

    /// Keeps why something failed, and numbers it for the supervisor.
    pub(super) fn keep(&mut self, cause: Cause) -> CauseId {
        self.last_cause = Some(Arc::new(cause));
        self.causes += 1;
        CauseId(self.causes)
    }

    /// Tells the supervisor what happened, and does what it says.
    pub(super) fn supervise(&mut self, event: supervisor::Event) {
        let taken = self.supervisor.handle(self.core.now, event);
        debug_assert!(taken.is_ok(), "{event:?} in {}: {taken:?}", self.supervisor.state());
        self.drain_supervisor();
    }

    pub(super) fn drain_supervisor(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                supervisor::Action::Dial { attempt, .. } => {
                    self.attempt = attempt;
                    self.actions.push_back(Action::Dial { attempt });
                }
                supervisor::Action::AbortDial { .. } => self.abort(),
                supervisor::Action::Recover => self.recover(),
                supervisor::Action::Drain => self.drain(),
                supervisor::Action::Close => self.say_goodbye(),
                supervisor::Action::Drop => {
                    self.link = Link::Down;
                    self.actions.push_back(Action::Shut);
                }
                supervisor::Action::GiveUp(end) => self.end(end),
            }
        }
        self.core.wakes.append(&mut self.core.watchers);
    }

    /// The attempt has taken too long, or is no longer wanted.
    pub(super) fn abort(&mut self) {
        if !matches!(self.link, Link::Down) || self.ended.is_none() {
            let within = self.settings.policy.connect_timeout.unwrap_or_default();
            self.last_cause = Some(Arc::new(Cause::Lost(Loss::HandshakeTimeout(within))));
        }
        self.link = Link::Down;
        self.turn = None;
        self.core.clear_batch();
        self.actions.push_back(Action::Abort);
    }

    /// What was sent before is in the batch already; what is owed an answer is waited for, and so is
    /// what this program still has to settle. Nothing new is consumed.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for channel in self.channels.iter_mut().filter(|channel| channel.live) {
            channel.stop_consuming(&mut self.core);
        }
        self.finish_draining();
    }

    /// Whether closing waits for publishes to be answered and deliveries to be settled. Meanwhile
    /// whoever takes deliveries for consumers says how many [nobody has seen](Self::are_untaken).
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// So many deliveries were taken for consumers and nobody has seen them: the broker puts them
    /// back, and closing does not wait for them. Gives whether it went on.
    pub fn are_untaken(&mut self, now: Time, count: usize) -> bool {
        self.core.now = now;
        self.untaken = count;
        self.finish_draining();
        !self.draining
    }

    /// Deliveries that the program holds and has not settled.
    fn held(&self) -> usize {
        self.unsettled().saturating_sub(self.untaken)
    }

    /// What closing found unfinished.
    pub fn left_over(&self) -> LeftOver {
        self.left_over
    }

    /// Closing goes on once every publish has its outcome, and every delivery is settled.
    pub(super) fn finish_draining(&mut self) {
        let is_done = self.unconfirmed() == 0 && self.held() == 0;
        if self.draining && (is_done || !matches!(self.link, Link::Up)) {
            self.draining = false;
            self.supervise(supervisor::Event::Drained);
        }
    }

    pub(super) fn say_goodbye(&mut self) {
        self.draining = false;
        if !matches!(self.link, Link::Up) {
            return self.finish_close();
        }
        self.flush_acks();
        self.send_close(ReplyCode::REPLY_SUCCESS, "");
        self.link = Link::Closing;
    }

    /// The supervisor has given up, or was told to: everybody who waits is told why.
    pub(super) fn end(&mut self, end: End) {
        let by_us = || Arc::new(Cause::ByUs);
        let cause = match end {
            End::ByUs { .. } => by_us(),
            _ => self.last_cause.clone().unwrap_or_else(by_us),
        };
        self.ended = Some(cause.clone());
        self.left_over = LeftOver { unconfirmed: self.unconfirmed(), unsettled: self.held() };
        let core = &mut self.core;
        if let Some(call) = self.connecting.take() {
            core.calls.answer(call, Err(CallError::Ended(cause.clone())), &mut core.wakes);
        }
        if let Some(call) = self.closing.take() {
            core.calls.answer(call, Ok(Reply::Done), &mut core.wakes);
        }
        for call in self.secret_calls.drain(..) {
            core.calls.answer(call, Err(CallError::Ended(cause.clone())), &mut core.wakes);
        }
        for channel in self.channels.iter_mut() {
            channel.end(cause.clone(), core);
        }
        core.wakes.append(&mut core.gate);
        core.acks_due.clear();
    }

    pub(super) fn check_alive(&self) -> Result<(), CallError> {
        match &self.ended {
            Some(cause) => Err(CallError::Ended(cause.clone())),
            None => Ok(()),
        }
    }
}
