//! What arrives, frame by frame.

use super::*;

impl Connection {
    /// The usual case: messages that are whole in this block, and become one slice of it each. `None`
    /// where there is none; all else is taken frame by frame.
    pub(super) fn handle_whole_deliveries(
        &mut self,
        block: &Bytes,
        at: &mut usize,
    ) -> Option<Result<(), Violation>> {
        let (id, consumer_tag) = self.decoder.delivery_for(block, *at)?;
        if !matches!(self.link, Link::Up) || self.is_recovering_on(id) {
            return None;
        }
        let channel = self.channels.by_id(id).filter(|channel| channel.takes_deliveries())?;
        let number = consumer_number(consumer_tag);
        if let Some(run) = channel.run(consumer_tag, number, &mut self.core)
            && run.take(&self.decoder, block, at)
        {
            return Some(Ok(()));
        }
        let found = self.decoder.whole_delivery(block, *at)?;
        if !self.core.limits.admit(&found) {
            return None;
        }
        *at = found.end;
        let (tag, redelivered) = (found.delivery_tag, found.redelivered);
        self.core.traffic.deliver(1, found.body.len(), redelivered.into());
        let content = Content::whole(block, &found);
        Some(channel.delivered(number, tag, redelivered, content, &mut self.core))
    }

    pub(super) fn handle_frame(&mut self, block: &Bytes, frame: Frame) -> Result<(), Violation> {
        if matches!(self.link, Link::Closing) {
            return self.handle_while_closing(block, frame);
        }
        let Frame { kind, channel, payload, ends } = frame;
        match (kind, channel) {
            (FrameKind::Heartbeat, 0) => self.core.idle_frame("heartbeats"),
            (FrameKind::Method, 0) => {
                let method = Method::decode(block.get(payload).unwrap_or_default())?;
                self.handle_connection_method(method)
            }
            (_, 0) | (FrameKind::Heartbeat, _) => Err(Violation::UnexpectedContent {
                channel,
                found: "content or a heartbeat",
                awaited: "a method",
            }),
            (FrameKind::Method, id) if self.is_recovering_on(id) => {
                let method = Method::decode(block.get(payload).unwrap_or_default())?;
                self.handle_recovery(method)
            }
            (FrameKind::Method, id) => self.handle_channel_method(block, payload, id),
            (FrameKind::Header, id) => {
                let channel = self.channels.by_id(id).ok_or(Violation::UnknownChannel(id))?;
                channel.header(block.slice(payload), &mut self.core)
            }
            (FrameKind::Body, id) => {
                let channel = self.channels.by_id(id).ok_or(Violation::UnknownChannel(id))?;
                channel.body(block.slice(payload), ends, &mut self.core)
            }
        }
    }

    pub(super) fn handle_channel_method(
        &mut self,
        block: &Bytes,
        payload: std::ops::Range<usize>,
        id: u16,
    ) -> Result<(), Violation> {
        let channel = self.channels.by_id(id).ok_or(Violation::UnknownChannel(id))?;
        let method = Method::decode(block.get(payload.clone()).unwrap_or_default())?;
        channel.method(method, &block.slice(payload), &mut self.core)?;
        if channel.ended.is_some() && !channel.awaits_close_ok {
            let key = channel.key;
            self.channel_is_over(key, id);
        }
        if !self.core.consumers_left.is_empty() {
            self.forget_left_queues();
        }
        if self.core.queues_are_away {
            self.queues_are_away();
        }
        Ok(())
    }

    /// Queues that delete themselves when their last consumer leaves are gone.
    pub(super) fn forget_left_queues(&mut self) {
        for queue in std::mem::take(&mut self.core.consumers_left) {
            if !self.channels.iter().any(|channel| channel.consumes_from(&queue)) {
                self.core.topology.last_consumer_left(&queue);
            }
        }
    }

    /// A channel is closed on the wire: its id can be used again.
    pub(super) fn channel_is_over(&mut self, key: ChannelKey, id: u16) {
        self.channels.route(id, None);
        self.ids.give_back(id);
        if self.channels.get(key).is_some_and(|channel| channel.released) {
            self.channels.remove(key);
        }
    }

    pub(super) fn handle_connection_method(&mut self, method: Method<'_>) -> Result<(), Violation> {
        if let Method::ConnectionClose(close) = method {
            self.closed_by_broker(&close);
            return Ok(());
        }
        match std::mem::replace(&mut self.link, Link::Down) {
            Link::Handshake(step) => {
                // The answer to connection.start is how we log in.
                self.core.batch.holds_secret();
                let step = step.handle(method, &self.settings, &mut self.core.batch.bytes)?;
                match step {
                    Step::Open(negotiated) => self.opened(negotiated),
                    step => self.link = Link::Handshake(step),
                }
                Ok(())
            }
            link => {
                self.link = link;
                self.handle_open_method(method)
            }
        }
    }

    pub(super) fn handle_open_method(&mut self, method: Method<'_>) -> Result<(), Violation> {
        match method {
            Method::ConnectionBlocked(blocked) => {
                self.core.idle_frame("connection.blocked")?;
                self.blocked = Some(Arc::from(blocked.reason.to_string()));
                self.supervise(supervisor::Event::Degrade(Reasons::BLOCKED));
            }
            Method::ConnectionUnblocked(_) => {
                self.core.idle_frame("connection.unblocked")?;
                self.blocked = None;
                self.supervise(supervisor::Event::Clear(Reasons::BLOCKED));
                self.open_gate();
            }
            Method::ConnectionUpdateSecretOk(_) if !self.secret_calls.is_empty() => {
                if let Some(call) = self.secret_calls.pop_front() {
                    self.core.calls.answer(call, Ok(Reply::Done), &mut self.core.wakes);
                }
            }
            other => {
                return Err(Violation::UnexpectedMethod {
                    method: other.id(),
                    awaited: "a method of an open connection",
                });
            }
        }
        Ok(())
    }

    /// After connection.close everything but its answer is discarded (2.2.4).
    pub(super) fn handle_while_closing(
        &mut self,
        block: &Bytes,
        frame: Frame,
    ) -> Result<(), Violation> {
        if frame.kind != FrameKind::Method || frame.channel != 0 {
            return Ok(());
        }
        match Method::decode(block.get(frame.payload).unwrap_or_default())? {
            Method::ConnectionCloseOk(_) => {
                self.actions.push_back(Action::Shut);
                self.finish_close();
            }
            Method::ConnectionClose(_) => {
                // Both sides close at once: the answer ends it for both.
                encode::method(&mut self.core.batch.bytes, 0, &connection::CloseOk {});
                self.actions.push_back(Action::Shut);
                self.finish_close();
            }
            _ => {}
        }
        Ok(())
    }
}
