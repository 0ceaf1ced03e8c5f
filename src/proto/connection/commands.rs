//! What the user asks of the connection.

use super::*;

impl Connection {
    /// Connects. The answer is [`Reply::Done`].
    pub fn connect(&mut self, now: Time) -> CallId {
        self.core.now = now;
        // The supervisor and the handshake have deadlines of their own.
        let call = self.core.calls.open("connect", now, FOREVER);
        self.connecting = Some(call);
        self.supervise(supervisor::Event::Connect);
        call
    }

    /// Closes the connection and all its channels. The answer is [`Reply::Done`].
    pub fn close(&mut self, now: Time) -> CallId {
        self.core.now = now;
        let call = self.core.calls.open("connection.close", now, FOREVER);
        if self.ended.is_some() {
            self.core.calls.answer(call, Ok(Reply::Done), &mut self.core.wakes);
            return call;
        }
        self.closing = Some(call);
        self.supervise(supervisor::Event::Close);
        call
    }

    /// Tells the broker a secret in place of the one that was logged in with, before that expires
    /// (<https://www.rabbitmq.com/docs/oauth2#token-expiration>). The answer is [`Reply::Done`].
    pub fn update_secret(&mut self, now: Time, secret: &Secret, after: Duration) -> CallId {
        self.core.now = now;
        let call = self.core.calls.open(connection::UpdateSecret::NAME, now, after);
        if self.link != Link::Up {
            // The next handshake asks for credentials of its own.
            self.core.calls.answer(call, Ok(Reply::Done), &mut self.core.wakes);
            return call;
        }
        let update = connection::UpdateSecret {
            new_secret: &secret.0,
            reason: ShortStr::new("renewed").unwrap_or(ShortStr::empty()),
        };
        encode::method(&mut self.core.batch.bytes, 0, &update);
        self.core.batch.holds_secret();
        self.secret_calls.push_back(call);
        call
    }

    /// Opens a channel. The answer is [`Reply::Opened`].
    ///
    /// # Errors
    /// When the connection has ended or all channel ids are in use.
    pub fn open_channel(&mut self, now: Time, after: Duration) -> Result<CallId, CallError> {
        self.core.now = now;
        self.check_alive()?;
        let call = self.core.calls.open("channel.open", now, after);
        let is_up = matches!(self.link, Link::Up) && self.recovery.is_none();
        let id = if is_up { self.ids.take() } else { Some(0) };
        let Some(id) = id else {
            self.core.calls.abandon(call);
            return Err(CallError::TooManyChannels { max: self.ids.max() });
        };
        // Asked for while the connection is lost, it begins with the next epoch.
        let epoch = self.epoch + u32::from(!matches!(self.link, Link::Up));
        let mut channel = Channel::new(self.channels.next_key(), id, epoch, call, now);
        channel.live = is_up;
        let key = channel.key;
        if is_up {
            channel.open(&mut self.core);
            self.channels.route(id, Some(key.index()));
        } else {
            // It is opened by recovery, together with the others.
            channel.wait_for_recovery(&mut self.core);
        }
        self.channels.insert(channel);
        Ok(call)
    }

    /// Sends a request on a channel.
    ///
    /// # Errors
    /// With the original cause when the channel or connection has ended.
    pub fn request(
        &mut self,
        now: Time,
        key: ChannelKey,
        mut request: Request,
        after: Duration,
    ) -> Result<CallId, CallError> {
        self.core.now = now;
        let channel = self.channels.get_mut(key).ok_or_else(gone)?;
        if let Some(queue) = request.queue_mut()
            && let Some(new) = self.core.topology.renamed(queue.as_str())
        {
            // Made before the recovery that gave the queue its new name.
            *queue = new.clone();
        }
        let call = self.core.calls.open(request.name(), now, after);
        let sent = match request {
            Request::Cancel { consumer } => {
                let end = ConsumerEnd::Cancelled;
                channel.cancel_consumer(consumer, Some(call), end, &mut self.core)
            }
            Request::CloseChannel => {
                channel.close(Some(call), &mut self.core);
                Ok(())
            }
            request => channel.request(request, Some(call), &mut self.core),
        };
        match sent {
            Ok(()) => Ok(call),
            Err(error) => {
                self.core.calls.abandon(call);
                Err(error)
            }
        }
    }

    /// The call does not wait for a recovery: when the connection is lost before its answer came, it
    /// fails at once. Whether it took effect is unknown then; it is not sent again.
    pub fn fail_fast(&mut self, call: CallId) {
        self.core.calls.fail_fast(call);
    }

    /// Asks for the answer to a call.
    pub fn poll_call(
        &mut self,
        call: CallId,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Result<Reply, CallError>> {
        let mut polled = self.core.calls.poll(call, waiter);
        if let Poll::Ready(Ok(Reply::Declared { name, .. })) = &mut polled
            && let Some(new) = self.queue_name_now(name)
        {
            // The answer has waited here since before a recovery.
            *name = new.clone();
        }
        polled
    }

    /// The name that a queue has now which once had this one, if that is another.
    pub fn queue_name_now(&self, once: &ShortString) -> Option<&ShortString> {
        self.core.topology.renamed(once.as_str())
    }

    /// The future of a call was dropped: the call keeps its effect, in its order, unless the effect
    /// is a handle that nobody has.
    pub fn abandon_call(&mut self, now: Time, call: CallId) {
        self.core.now = now;
        let Some(Ok(reply)) = self.core.calls.abandon(call) else { return };
        match reply {
            Reply::Opened(key) => self.release_channel(now, key),
            Reply::Consuming(ConsumerKey { channel: key, .. }) | Reply::Got(key, _) => {
                if let Some(channel) = self.channels.get_mut(key) {
                    channel.orphan_reply(reply, &mut self.core);
                }
            }
            _ => {}
        }
    }

    /// Publishes a message. `waiter` gives nothing when it is already queued and not yet woken.
    ///
    /// # Errors
    /// With the original cause when the channel or connection has ended.
    #[inline]
    pub fn publish(
        &mut self,
        key: ChannelKey,
        outgoing: &Outgoing<'_>,
        now: impl FnOnce() -> Time,
        waiter: &mut dyn FnMut() -> Option<WaiterId>,
    ) -> Result<Accepted, CallError> {
        let mut publishing = self.publishing(key, &outgoing.route())?;
        Ok(publishing.publish(&outgoing.encoded(), now, waiter))
    }

    /// Publishes messages on a channel, one after the other, to one place.
    ///
    /// # Errors
    /// With the original cause when the channel or connection has ended.
    #[inline]
    pub fn publishing(
        &mut self,
        key: ChannelKey,
        route: &Route<'_>,
    ) -> Result<Publishing<'_>, CallError> {
        let frame_max = self.frame_max();
        let channel = self.channels.get_mut(key).ok_or_else(gone)?;
        channel.check_open()?;
        if channel.transaction_lost {
            return Err(CallError::TransactionLost);
        }
        if self.closing.is_some() {
            // The gate is closed: what is published after close() would never have an outcome.
            return Err(gone());
        }
        let head = channel.head.get_or_insert_default();
        match self.core.topology.renamed_route(route) {
            None => head.turn_to(channel.id, route),
            Some(renamed) => {
                // It has waited since before the recovery that gave the queue its new name.
                let routing_key = renamed.as_short();
                head.turn_to(channel.id, &Route { routing_key, ..*route });
            }
        }
        let (keep, flows) = (route.keep, channel.live && self.blocked.is_none());
        Ok(Publishing { channel, core: &mut self.core, keep, flows, frame_max })
    }

    /// Whoever waited in a line is gone.
    pub fn forget_waiter(&mut self, waiter: WaiterId) {
        self.core.gate.retain(|waiting| *waiting != waiter);
        self.core.watchers.retain(|waiting| *waiting != waiter);
        for channel in self.channels.iter_mut() {
            channel.forget_waiter(waiter);
        }
    }

    /// The outcome of a publish on a confirming channel.
    pub fn poll_confirm(
        &mut self,
        key: ChannelKey,
        tag: u64,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Outcome> {
        match self.channels.get_mut(key) {
            Some(channel) => channel.poll_confirm(tag, waiter),
            None => Poll::Ready(Outcome::Unknown(Arc::new(Cause::ByUs))),
        }
    }

    /// See [`Ledger::confirmed_below`](crate::proto::Ledger::confirmed_below).
    pub fn confirmed_below(&self, key: ChannelKey) -> u64 {
        self.channels.get(key).map_or(0, |channel| channel.ledger.confirmed_below())
    }

    /// Nobody will ask for the outcome of these publishes.
    pub fn abandon_confirms(&mut self, key: ChannelKey, tags: Range<u64>) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.ledger.abandon(tags);
        }
    }

    /// Settles a delivery.
    ///
    /// # Errors
    /// When it is stale or its channel has ended; then nothing is sent.
    pub fn settle(
        &mut self,
        key: ChannelKey,
        epoch: u32,
        tag: u64,
        how: Settlement,
    ) -> Result<(), SettleError> {
        let channel = self.channels.get_mut(key).ok_or(SettleError::Stale)?;
        let was_due = channel.ack_is_due();
        let merged = channel.settle(epoch, tag, how, &mut self.core.batch.bytes)?;
        if merged && !was_due {
            self.core.acks_due.push(key.index);
        }
        Ok(())
    }

    /// Each ack of this channel goes out as a frame of its own.
    pub fn never_merge_acks(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.never_merge_acks();
        }
    }

    /// Swaps a consumer's deliveries out, or tells how it ended.
    pub fn poll_consumer(
        &mut self,
        key: ConsumerKey,
        into: &mut VecDeque<Arrival>,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ConsumerEnd>> {
        match self.channels.get_mut(key.channel) {
            Some(channel) => channel.poll_consumer(key, into, &mut self.core, waiter),
            None => Poll::Ready(Some(ConsumerEnd::Cancelled)),
        }
    }

    /// What interrupted a consumer next, after the `cursor`th that was noted; nothing when it has
    /// ended. `waiter` gives nothing when it is already queued and not yet woken.
    pub fn poll_interruption(
        &mut self,
        key: ConsumerKey,
        cursor: &mut u64,
        waiter: impl FnOnce() -> Option<WaiterId>,
    ) -> Poll<Option<Interruption>> {
        match self.channels.get_mut(key.channel) {
            Some(channel) => channel.poll_interruption(key.number, cursor, waiter),
            None => Poll::Ready(None),
        }
    }

    /// The owner of a consumer is gone. It is cancelled; then `rest`, which its owner had not handed
    /// out, goes back to the queue with what has arrived since.
    pub fn drop_consumer(&mut self, now: Time, key: ConsumerKey, rest: VecDeque<Arrival>) {
        self.core.now = now;
        if let Some(channel) = self.channels.get_mut(key.channel) {
            channel.orphan_consumer(key.number, rest, &mut self.core);
        }
    }

    /// The next message that was returned on a channel without confirms.
    pub fn poll_returned(
        &mut self,
        key: ChannelKey,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Option<ReturnedContent>> {
        match self.channels.get_mut(key) {
            Some(channel) => channel.poll_returned(waiter),
            None => Poll::Ready(None),
        }
    }

    /// The last handle of a channel is gone: it closes.
    pub fn release_channel(&mut self, now: Time, key: ChannelKey) {
        self.core.now = now;
        if let Some(channel) = self.channels.get_mut(key) {
            channel.release(&mut self.core);
            // Both sides may have closed at once: then the broker's answer still comes here.
            if channel.ended.is_some() && !channel.awaits_close_ok {
                self.channels.remove(key);
            }
        }
    }

    /// Gives the user's own reasons to be degraded, or says that events may have been missed. Other
    /// reasons are the connection's own to give, and are ignored.
    pub fn degrade(&mut self, now: Time, reasons: Reasons) {
        self.core.now = now;
        self.supervise(supervisor::Event::Degrade(reasons & (Reasons::ALL_OWN | Reasons::MISSED)));
    }

    /// Takes such reasons back.
    pub fn clear(&mut self, now: Time, reasons: Reasons) {
        self.core.now = now;
        self.supervise(supervisor::Event::Clear(reasons & (Reasons::ALL_OWN | Reasons::MISSED)));
    }

    /// Wakes the waiter at the next change of state, block, or end of a channel.
    pub fn watch(&mut self, waiter: WaiterId) {
        self.core.watchers.push(waiter);
    }
}
