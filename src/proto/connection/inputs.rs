//! What the driver tells the connection, and fetches from it.

use super::*;

impl Connection {
    /// A socket is open: shake hands, with the first of these mechanisms that the broker offers.
    pub fn handle_dialed(&mut self, now: Time, mechanisms: Vec<Mechanism>) {
        self.core.now = now;
        self.core.clear_batch();
        self.decoder = Decoder::new(handshake_frame_max(&self.settings));
        self.heartbeat = Heartbeat::new(Duration::ZERO, now);
        let step = handshake::begin(mechanisms, &mut self.core.batch.bytes);
        self.link = Link::Handshake(step);
        self.turn = None;
    }

    /// The same for one of several hosts, or one that has less time than the whole attempt.
    ///
    /// What is about us (refused credentials, a virtual host that is not there or not ours) ends the
    /// attempt at once: the next host of a cluster would say the same. Everything else, silence
    /// until the turn is over included, is for the next host.
    pub fn handle_dialed_in_turn(&mut self, now: Time, mechanisms: Vec<Mechanism>, turn: Turn) {
        self.handle_dialed(now, mechanisms);
        self.turn = Some((now, turn));
    }

    /// No socket could be opened. `retry` says whether another attempt can help.
    pub fn handle_dial_failed(&mut self, now: Time, loss: Loss, retry: Retry) {
        self.core.now = now;
        self.attempt_failed(Cause::Lost(loss), retry);
    }

    /// Bytes arrived. Gives how many of them were used up; what is left is the start of an
    /// incomplete frame, to be presented again with more bytes behind it.
    pub fn handle_input(&mut self, now: Time, block: &Bytes) -> usize {
        if self.core.inbound.was_full() {
            // What was taken since then counts no more.
            self.bound_inbound();
        }
        let used = self.handle_frames(now, block);
        self.core.traffic.bytes_received += used as u64;
        self.bound_inbound();
        self.was_read(used);
        used
    }

    fn handle_frames(&mut self, now: Time, block: &Bytes) -> usize {
        self.core.now = now;
        self.heartbeat.received(now);
        if self.late {
            self.late = false;
            self.supervise(supervisor::Event::Clear(Reasons::LATE));
        }
        let mut at = 0;
        while !matches!(self.link, Link::Down) {
            let handled = match self.handle_whole_deliveries(block, &mut at) {
                Some(handled) => handled,
                None => match self.decoder.next(block, &mut at) {
                    Ok(None) => return at,
                    Ok(Some(frame)) => self.handle_frame(block, frame),
                    Err(error) => Err(Violation::Frame(error)),
                },
            };
            match handled {
                Err(violation) => self.violated(violation),
                Ok(()) if self.draining => self.finish_draining(),
                Ok(()) => {}
            }
        }
        block.len()
    }

    /// How much of a body frame is still to come, whose beginning has arrived: for who makes room for it.
    pub fn missing_body(&self) -> usize {
        self.decoder.missing_body()
    }

    /// The socket failed or ended.
    pub fn handle_lost(&mut self, now: Time, loss: Loss) {
        self.core.now = now;
        match &self.link {
            Link::Down => {}
            Link::Closing => self.finish_close(),
            Link::Handshake(step) => {
                let refused = step.is_authenticating() && self.epoch == 0;
                match refused {
                    true => {
                        let cause = Cause::Lost(Loss::DuringAuthentication);
                        self.attempt_failed(cause, Retry::Never);
                    }
                    false => self.host_failed(Cause::Lost(loss), Retry::Can),
                }
            }
            Link::Up => self.lost(Cause::Lost(loss)),
        }
    }

    /// Time has passed. The driver reads what has arrived before it calls this, so that a stall of
    /// its own does not make the peer look dead.
    pub fn handle_timeout(&mut self, now: Time) {
        self.core.now = now;
        self.core.calls.expire(now, &mut self.core.wakes);
        self.date_publishes(now);
        self.expire_confirms(now);
        self.expire_overrun(now);
        self.expire_link(now);
        self.expire_turn(now);
        self.expire_mending(now);
        while self.supervisor.poll_timeout().is_some_and(|due| due <= now) {
            if self.supervisor.handle_timeout(now).is_err() {
                break;
            }
            self.drain_supervisor();
        }
        self.drain_supervisor();
    }

    /// The earliest time at which [`Connection::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let link = match self.link {
            Link::Up => self.heartbeat.send_due(),
            _ => None,
        };
        let dead = match self.link {
            // While reading has stopped, silence says nothing of the peer.
            Link::Up if self.wants_read() => self.heartbeat.dead_at(),
            _ => None,
        };
        let late = dead.filter(|_| !self.late).and(self.heartbeat.late_at());
        let turn = match self.link {
            Link::Handshake(_) => self.turn.map(|(_, turn)| turn.until),
            _ => None,
        };
        let confirm = self
            .channels
            .iter()
            // What is kept while the connection is lost waits for it, without a deadline.
            .filter(|channel| channel.live)
            .filter_map(|channel| channel.ledger.oldest())
            .min()
            .map(|oldest| oldest + self.settings.confirm_timeout + COARSE);
        let undated = self.core.stamp.map(|stamp| stamp + COARSE);
        let overrun = self.core.paused_since.map(|since| since + self.core.limits.overrun_after);
        let call = self.core.calls.next_deadline();
        let (supervisor, mending) = (self.supervisor.poll_timeout(), self.mending.poll_timeout());
        [link, dead, turn, confirm, overrun, call, supervisor, mending, undated, late]
            .into_iter()
            .fold(None, |first, due| due.map_or(first, |due| Some(first.unwrap_or(due).min(due))))
    }

    /// What to do in the world.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Swaps out what is to be written. `batch` must be empty; its memory is used for what follows.
    pub fn take_batch(&mut self, now: Time, batch: &mut Batch) {
        self.core.now = now;
        if self.draining {
            self.finish_draining();
        }
        self.date_publishes(now);
        self.core.stamp = None;
        self.flush_acks();
        std::mem::swap(&mut self.core.batch, batch);
        self.core.traffic.bytes_sent += batch.len() as u64;
        self.core.unread_answers = 0;
        if !batch.is_empty() {
            self.heartbeat.sent(now);
        }
        self.open_gate();
    }

    /// Whether there is something to write.
    pub fn has_output(&self) -> bool {
        !self.core.batch.is_empty() || !self.core.acks_due.is_empty()
    }

    /// The bytes that wait to be written.
    pub fn output_len(&self) -> usize {
        self.core.batch.len()
    }

    /// Whether there is something to do in the world.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Takes the waiters that are to be woken.
    pub fn take_wakes(&mut self, into: &mut Wakes) {
        into.append(&mut self.core.wakes);
    }

    /// Whether anybody is to be woken.
    pub fn has_wakes(&self) -> bool {
        !self.core.wakes.is_empty()
    }

    /// Whether the socket may be read. Not while a consumer holds more than it may, or all together.
    pub fn wants_read(&self) -> bool {
        self.core.behind == 0 && !self.inbound_is_full()
    }

    /// The next transition of the connection, with its cause.
    pub fn poll_transition(&mut self) -> Option<Change> {
        let transition = self.supervisor.poll_transition()?;
        let is_latest = transition.cause == CauseId(self.causes) && self.causes > 0;
        let cause = if is_latest { self.last_cause.clone() } else { None };
        Some(Change { transition, cause })
    }

    /// The next transition of a channel.
    pub fn poll_channel_transition(&mut self) -> Option<ChannelTransition> {
        self.core.transitions.pop_front()
    }

    pub(super) fn expire_link(&mut self, now: Time) {
        if self.link != Link::Up {
            return;
        }
        let dead = self.heartbeat.dead_at().is_some_and(|at| at <= now);
        if dead && self.wants_read() {
            self.actions.push_back(Action::Shut);
            return self.lost(Cause::Lost(Loss::Heartbeat(self.heartbeat.interval())));
        }
        let late = self.heartbeat.late_at().is_some_and(|at| at <= now);
        if late && self.wants_read() && !self.late {
            self.late = true;
            self.supervise(supervisor::Event::Degrade(Reasons::LATE));
        }
        if self.heartbeat.send_due().is_some_and(|due| due <= now) {
            encode::heartbeat(&mut self.core.batch.bytes);
            self.heartbeat.sent(now);
        }
    }

    fn expire_turn(&mut self, now: Time) {
        let (Link::Handshake(_), Some((since, turn))) = (&self.link, self.turn) else { return };
        if turn.until <= now {
            if !turn.among_others {
                self.actions.push_back(Action::Abort);
            }
            let within = turn.until.saturating_since(since).as_millis();
            let within = Duration::from_millis(u64::try_from(within).unwrap_or(u64::MAX));
            self.host_failed(Cause::Lost(Loss::HandshakeTimeout(within)), Retry::Can);
        }
    }

    /// Publishes that have waited in the batch were made after its one look at the clock: how long
    /// after, nobody knows, so that their deadlines count from now.
    fn date_publishes(&mut self, now: Time) {
        let Some(stamp) = self.core.stamp else { return };
        if now.saturating_since(stamp) < COARSE {
            return;
        }
        for channel in self.channels.iter_mut() {
            channel.ledger.date_anew(stamp, now);
        }
        // The next one looks at the clock again.
        self.core.stamp = None;
    }

    pub(super) fn expire_confirms(&mut self, now: Time) {
        let after = self.settings.confirm_timeout + COARSE;
        for channel in self.channels.iter_mut() {
            channel.expire(now, after, &mut self.core);
        }
    }

    pub(super) fn expire_overrun(&mut self, now: Time) {
        let after = self.core.limits.overrun_after;
        if self.core.paused_since.is_some_and(|since| since + after <= now) {
            let was_paused = !self.wants_read();
            for channel in self.channels.iter_mut() {
                channel.cancel_overrun(&mut self.core);
            }
            self.cancel_largest();
            if was_paused {
                // Silence while nothing was read says nothing of the peer.
                self.heartbeat.received(now);
            }
        }
    }

    pub(super) fn send_close(&mut self, code: ReplyCode, text: &str) {
        let text: String = text.chars().take(60).collect();
        let close = connection::Close {
            reply_code: code.0,
            reply_text: ShortStr::new(&text).unwrap_or(ShortStr::empty()),
            class_id: 0,
            method_id: 0,
        };
        encode::method(&mut self.core.batch.bytes, 0, &close);
    }

    pub(super) fn flush_acks(&mut self) {
        let mut due = std::mem::take(&mut self.core.acks_due);
        for index in due.drain(..) {
            if let Some(channel) = self.channels.by_index(index)
                && channel.ended.is_none()
            {
                channel.flush_acks(&mut self.core.batch.bytes);
            }
        }
        // Its memory is used for what follows.
        self.core.acks_due = due;
    }

    pub(super) fn open_gate(&mut self) {
        let is_up = matches!(self.link, Link::Up) && self.recovery.is_none();
        let has_room = self.core.batch.len() < self.core.limits.outbound_bytes;
        if is_up && has_room && self.blocked.is_none() {
            self.core.wakes.append(&mut self.core.gate);
        }
    }
}
