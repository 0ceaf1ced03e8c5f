//! What the core holds for a connection: its channels, and what it is to be sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    At, ConnId, Core, Name, Output, Refusal, Reply,
    channel::{Channel, Mode},
    output,
    queue::{ConsumerId, QueueId},
};
use crate::{
    broker::{ConnectionId, event::Event, permissions::Permissions},
    fsm::Time,
    wire::{MethodId, ReplyCode},
};

/// What a connection tells about itself when it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Introduction {
    pub(crate) user: Name,
    /// It understands basic.cancel from the broker.
    pub(crate) cancel_notify: bool,
    /// It understands connection.blocked.
    pub(crate) blocked_notify: bool,
}

/// A connection that has opened a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) vhost: usize,
    pub(crate) user: Name,
    /// None where nothing is forbidden.
    pub(crate) permissions: Option<Arc<Permissions>>,
    cancel_notify: bool,
    blocked_notify: bool,
    /// Set by its first publish: only publishers are blocked.
    pub(crate) publishes: bool,
    blocked: bool,
    /// It is being closed: nothing is taken from it any more.
    closed: bool,
    pub(crate) channels: BTreeMap<u16, Slot>,
    pub(crate) exclusive: BTreeSet<QueueId>,
    outputs: Vec<Output>,
    /// Octets that wait to be sent, and of those what the connection's task has taken.
    backlog: usize,
    taken: usize,
    /// Consumers that wait for the backlog to shrink.
    pub(crate) parked: Vec<(QueueId, ConsumerId)>,
    /// Channels with outcomes that their publishers were not told.
    confirming: BTreeSet<u16>,
}

impl Peer {
    /// Whether it understands that the broker cancels its consumers.
    pub(super) fn heeds_cancel(&self) -> bool {
        self.cancel_notify
    }
}

/// A channel number in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Open(Box<Channel>),
    /// channel.close was sent and its answer is awaited.
    Closing,
}

/// What a channel number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChannelState {
    /// Nothing.
    Unused,
    /// An open channel.
    Open,
    /// A channel that the broker is closing: what arrives on it is dropped.
    Closing,
}

impl Peer {
    /// Queues an output and notes that the connection's task has to be woken.
    pub(crate) fn push(&mut self, conn: ConnId, output: Output, wakes: &mut Vec<ConnId>) {
        if self.outputs.is_empty() {
            wakes.push(conn);
        }
        self.backlog += output.cost();
        self.outputs.push(output);
    }

    /// Whether more deliveries may be queued.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        self.backlog < limit && !self.closed
    }

    /// An open channel.
    pub(crate) fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        match self.channels.get_mut(&number) {
            Some(Slot::Open(channel)) => Some(channel),
            _ => None,
        }
    }

    /// Notes that a channel has outcomes to tell.
    pub(crate) fn owes_confirms(&mut self, channel: u16) {
        self.confirming.insert(channel);
    }
}

impl Core {
    /// Opens a virtual host for a connection.
    pub(crate) fn open(
        &mut self,
        conn: ConnId,
        vhost: &Name,
        who: Introduction,
    ) -> Result<(), Refusal> {
        let Some(index) = self.vhost_index(vhost) else {
            return Err(Refusal::not_allowed(format_args!("vhost {vhost} not found")));
        };
        let permissions = self.users.get(&who.user).map(|user| &user.permissions);
        let Some(permissions) = permissions.filter(|given| given.opens(vhost.as_bytes())) else {
            return Err(Refusal::not_allowed(format_args!(
                "access to vhost '{vhost}' refused for user '{}'",
                who.user
            )));
        };
        let permissions = (!permissions.is_unlimited()).then(|| Arc::new(permissions.clone()));
        self.peers.insert(
            conn,
            Peer {
                vhost: index,
                user: who.user,
                permissions,
                cancel_notify: who.cancel_notify,
                blocked_notify: who.blocked_notify,
                publishes: false,
                blocked: false,
                closed: false,
                channels: BTreeMap::new(),
                exclusive: BTreeSet::new(),
                outputs: Vec::new(),
                backlog: 0,
                taken: 0,
                parked: Vec::new(),
                confirming: BTreeSet::new(),
            },
        );
        let vhost = vhost.to_string();
        self.journal.note(Event::Opened { connection: ConnectionId(conn), vhost });
        Ok(())
    }

    /// Ends what a connection holds: its channels and its exclusive queues. What it is still to
    /// be sent stays until `disconnect`.
    pub(crate) fn close(&mut self, conn: ConnId, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.closed = true;
        let channels: Vec<u16> = peer.channels.keys().copied().collect();
        for channel in channels {
            self.close_channel(At { conn, channel }, now);
        }
        let exclusive = match self.peers.get_mut(&conn) {
            Some(peer) => {
                peer.channels.clear();
                std::mem::take(&mut peer.exclusive)
            }
            None => return,
        };
        for queue in exclusive {
            self.delete_queue(queue, now);
        }
        self.settle_dead(now);
    }

    /// Forgets a connection whose socket is gone.
    pub(crate) fn disconnect(&mut self, conn: ConnId, now: Time) {
        self.close(conn, now);
        self.peers.remove(&conn);
    }

    /// Closes a connection from the broker's side.
    pub(crate) fn close_connection(
        &mut self,
        conn: ConnId,
        refusal: Refusal,
        method: MethodId,
        now: Time,
    ) {
        if self.peers.get(&conn).is_some_and(|peer| !peer.closed) {
            self.note_refusal(At { conn, channel: 0 }, &refusal);
            self.close(conn, now);
            self.push(conn, Output::CloseConnection { refusal, method });
        }
    }

    /// Whether the broker still listens to a connection.
    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| !peer.closed)
    }

    /// What a channel number stands for.
    pub(crate) fn channel_state(&self, at: At) -> ChannelState {
        let slot = self.peers.get(&at.conn).and_then(|peer| peer.channels.get(&at.channel));
        match slot {
            None => ChannelState::Unused,
            Some(Slot::Open(_)) => ChannelState::Open,
            Some(Slot::Closing) => ChannelState::Closing,
        }
    }

    /// Channels in use on a connection.
    pub(crate) fn channel_count(&self, conn: ConnId) -> usize {
        self.peers.get(&conn).map_or(0, |peer| peer.channels.len())
    }

    /// channel.open
    pub(crate) fn open_channel(&mut self, at: At) {
        if let Some(peer) = self.peers.get_mut(&at.conn) {
            peer.channels.insert(at.channel, Slot::Open(Box::default()));
        }
        let At { conn, channel } = at;
        self.journal.note(Event::ChannelOpened { connection: ConnectionId(conn), channel });
        self.reply(at, Reply::ChannelOpenOk);
    }

    /// Ends a channel: its consumers go, its unsettled deliveries return to their queues.
    /// The number is free afterwards.
    pub(crate) fn close_channel(&mut self, at: At, now: Time) {
        // Outcomes that are known are told before the end.
        self.flush_confirms(at, now);
        let Some(peer) = self.peers.get_mut(&at.conn) else {
            return;
        };
        let Some(Slot::Open(mut channel)) = peer.channels.remove(&at.channel) else {
            return;
        };
        peer.confirming.remove(&at.channel);
        let (connection, number) = (ConnectionId(at.conn), at.channel);
        self.journal.note(Event::ChannelClosed { connection, channel: number });
        let reply = channel.reply_consumer.take().map(|reply| reply.address);
        for address in [reply, channel.reply_address_before.take()].into_iter().flatten() {
            self.reply_addresses.remove(&address);
        }
        let mut touched = BTreeSet::new();
        for (queue, consumer) in std::mem::take(&mut channel.consumers).into_values() {
            self.remove_consumer(queue, consumer, now);
            touched.insert(queue);
        }
        let mut returned: Vec<_> = std::mem::take(&mut channel.unacked).into_values().collect();
        if let Mode::Tx(transaction) = std::mem::take(&mut channel.mode) {
            let settled = transaction.settled.into_iter().flat_map(|(_, taken)| taken);
            returned.extend(settled.map(|(_, one)| one));
        }
        for one in returned {
            touched.insert(one.queue);
            self.requeue(one, now);
        }
        for queue in touched {
            self.dispatch(queue, now);
        }
        self.settle_dead(now);
    }

    /// Closes a channel from the broker's side, or the connection where the code asks for that.
    pub(crate) fn refuse(&mut self, at: At, refusal: Refusal, method: MethodId, now: Time) {
        if refusal.code.is_connection_error() {
            return self.close_connection(at.conn, refusal, method, now);
        }
        self.note_refusal(at, &refusal);
        self.close_channel(at, now);
        if let Some(peer) = self.peers.get_mut(&at.conn) {
            peer.channels.insert(at.channel, Slot::Closing);
        }
        self.push(at.conn, Output::CloseChannel { channel: at.channel, refusal, method });
    }

    /// The peer has confirmed the closing of a channel: its number is free again.
    pub(crate) fn channel_closed(&mut self, at: At) {
        if let Some(peer) = self.peers.get_mut(&at.conn)
            && matches!(peer.channels.get(&at.channel), Some(Slot::Closing))
        {
            peer.channels.remove(&at.channel);
        }
    }

    /// Answers channel.close. It came while the broker was closing the channel, too: the number
    /// is free then only with the answer to that.
    pub(crate) fn confirm_close(&mut self, at: At) {
        self.reply(at, Reply::ChannelCloseOk);
    }

    /// Takes what a connection is to be sent. `into` is empty and comes back full; its memory
    /// is used again.
    pub(crate) fn take_outputs(&mut self, conn: ConnId, into: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            std::mem::swap(&mut peer.outputs, into);
            peer.taken = peer.backlog;
        }
        if self.journal.watched {
            self.note_sent(conn, into);
        }
    }

    fn note_sent(&mut self, conn: ConnId, outputs: &[Output]) {
        for output in outputs {
            if let Output::Deliver { channel, message, .. }
            | Output::GetOk { channel, message, .. }
            | Output::Return { channel, message } = output
            {
                self.journal.note(Event::Sent {
                    connection: ConnectionId(conn),
                    channel: *channel,
                    exchange: message.exchange.to_string(),
                    routing_key: message.routing_key.to_string(),
                    size: message.size(),
                });
            }
        }
    }

    /// Announces a refusal. What an operator does with 320 is none.
    fn note_refusal(&mut self, at: At, refusal: &Refusal) {
        if refusal.code == ReplyCode::CONNECTION_FORCED {
            return;
        }
        let (connection, text) = (ConnectionId(at.conn), refusal.text());
        if let Some(budget) = refusal.budget() {
            self.journal.note(Event::BudgetExhausted { connection, budget });
        }
        if refusal.code == ReplyCode::ACCESS_REFUSED && refusal.is_permission() {
            let user = self.peers.get(&at.conn).map_or_else(String::new, |p| p.user.to_string());
            self.journal.note(Event::PermissionRefused { connection, user, text: text.clone() });
        }
        let (channel, code) = (at.channel, refusal.code);
        self.journal.note(Event::Refused { connection, channel, code, text });
    }

    /// What was taken has been sent: consumers that waited for it get their turn.
    pub(crate) fn sent(&mut self, conn: ConnId, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.backlog = peer.backlog.saturating_sub(std::mem::take(&mut peer.taken));
        if peer.backlog * 2 > self.limits.backlog || peer.parked.is_empty() {
            return;
        }
        let parked = std::mem::take(&mut peer.parked);
        self.unpark(parked, now);
    }

    /// Tells publishers on a connection what became of their messages, as far as it is known.
    /// Called once per batch of input, so that one frame confirms many messages.
    pub(crate) fn flush(&mut self, conn: ConnId, now: Time) {
        self.watch_memory(Some(conn));
        let Some(peer) = self.peers.get_mut(&conn).filter(|peer| !peer.confirming.is_empty())
        else {
            return;
        };
        // Those that cannot be told yet note themselves again.
        for channel in std::mem::take(&mut peer.confirming) {
            self.flush_confirms(At { conn, channel }, now);
        }
    }

    fn flush_confirms(&mut self, at: At, now: Time) {
        let stored = self.stored_batch();
        let Core { peers, wakes, mischief, confirms_due, .. } = self;
        let Some(peer) = peers.get_mut(&at.conn) else {
            return;
        };
        let Some(Mode::Confirm(confirms)) =
            peer.channel(at.channel).map(|channel| &mut channel.mode)
        else {
            return;
        };
        if mischief.withhold_confirms {
            peer.confirming.insert(at.channel);
            return;
        }
        let told: Vec<_> = std::iter::from_fn(|| confirms.next(stored, now)).collect();
        if let Some(due) = confirms.next_due() {
            if due > now {
                *confirms_due = (*confirms_due).into_iter().chain([due]).min();
            }
            peer.confirming.insert(at.channel);
        }
        if mischief.reverse_confirms {
            for (tag, ack) in
                told.iter().flat_map(|run| (run.first..=run.last).map(|tag| (tag, run.ack))).rev()
            {
                let output = Output::Confirm { channel: at.channel, tag, multiple: false, ack };
                peer.push(at.conn, output, wakes);
            }
            return;
        }
        for run in told {
            let output = Output::Confirm {
                channel: at.channel,
                tag: run.last,
                // All before a nack has been told: RabbitMQ says so with every one.
                multiple: !run.ack || run.first < run.last,
                ack: run.ack,
            };
            peer.push(at.conn, output, wakes);
        }
    }

    /// Tells all publishers everything that was withheld.
    pub(crate) fn flush_all(&mut self, now: Time) {
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.flush(conn, now);
        }
    }

    /// Whether a connection's input is not read since it publishes and memory is short.
    pub(crate) fn is_blocked(&self, conn: ConnId) -> bool {
        self.is_short() && self.peers.get(&conn).is_some_and(|peer| peer.publishes)
    }

    /// Raises or clears the memory alarm by decree.
    pub(crate) fn set_alarm(&mut self, alarm: bool) {
        self.alarm = alarm;
        self.announce_alarm();
    }

    /// Tells connections about the alarm, where it changed and where they asked to be told.
    pub(crate) fn announce_alarm(&mut self) {
        let short = self.is_short();
        if short != self.announced {
            self.announced = short;
            self.journal.note(if short { Event::AlarmRaised } else { Event::AlarmCleared });
        }
        let Core { peers, wakes, .. } = self;
        for (conn, peer) in peers.iter_mut().filter(|(_, peer)| !peer.closed) {
            if short && peer.publishes && !peer.blocked {
                peer.blocked = true;
                if peer.blocked_notify {
                    peer.push(*conn, Output::Blocked("low on memory"), wakes);
                }
            } else if !short && peer.blocked {
                peer.blocked = false;
                if peer.blocked_notify {
                    peer.push(*conn, Output::Unblocked, wakes);
                } else {
                    // Its task waits to be told that it may read again.
                    wakes.push(*conn);
                }
            }
        }
    }

    /// Announces an alarm that came or went, or that a new publisher does not know of.
    pub(super) fn watch_memory(&mut self, conn: Option<ConnId>) {
        let short = self.is_short();
        let publisher = conn.and_then(|conn| self.peers.get(&conn));
        let news = short != self.was_short
            || (short && publisher.is_some_and(|peer| peer.publishes && !peer.blocked));
        if news {
            self.was_short = short;
            self.announce_alarm();
        }
    }

    fn is_short(&self) -> bool {
        self.alarm || self.limits.memory.is_some_and(|limit| self.stored > limit)
    }

    /// The connections that are open.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.peers.iter().filter(|(_, peer)| !peer.closed).map(|(conn, _)| *conn)
    }

    pub(super) fn push(&mut self, conn: ConnId, output: Output) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.push(conn, output, &mut self.wakes);
        }
    }

    pub(crate) fn reply(&mut self, at: At, reply: Reply) {
        self.push(at.conn, Output::Reply(at.channel, reply));
    }

    /// Answers unless the method said that it wants none.
    pub(super) fn answer(&mut self, at: At, no_wait: bool, reply: output::Reply) {
        if !no_wait {
            self.reply(at, reply);
        }
    }

    /// An open channel and the connection it belongs to. The session only passes methods of
    /// channels that are open, so that a failure is the broker's own.
    pub(super) fn channel(&mut self, at: At) -> Result<&mut Channel, Refusal> {
        self.peers.get_mut(&at.conn).and_then(|peer| peer.channel(at.channel)).ok_or_else(|| {
            Refusal::new(
                ReplyCode::CHANNEL_ERROR,
                format_args!("expected 'channel.open' on channel {}", at.channel),
            )
        })
    }

    /// Forgets a consumer that the broker cancels, and tells its client if it understands that.
    pub(super) fn notify_cancel(&mut self, at: At, tag: &Name) {
        let Core { peers, wakes, .. } = self;
        let Some(peer) = peers.get_mut(&at.conn) else {
            return;
        };
        if let Some(channel) = peer.channel(at.channel) {
            channel.consumers.remove(tag);
        }
        if peer.cancel_notify && !peer.closed {
            let cancel = Output::Cancel { channel: at.channel, consumer: tag.clone() };
            peer.push(at.conn, cancel, wakes);
        }
    }

    pub(super) fn unpark(&mut self, parked: Vec<(QueueId, ConsumerId)>, now: Time) {
        let mut touched = BTreeSet::new();
        for (queue, consumer) in parked {
            if let Some(queue) = self.queues.get_mut(&queue) {
                if let Some(consumer) = queue.consumers.get_mut(consumer) {
                    consumer.noted = false;
                }
                queue.consumers.wait(consumer);
            }
            touched.insert(queue);
        }
        for queue in touched {
            self.dispatch(queue, now);
        }
        self.settle_dead(now);
    }
}
