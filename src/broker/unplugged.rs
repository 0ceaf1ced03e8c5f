//! The broker without sockets, tasks and clock: bytes in, bytes out, faults on demand. For
//! simulations and fuzzing, which bring their own network and time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    BindingInfo, Builder, ConnectionId, QueueInfo,
    core::{At, ConnId, Core, Output, Refusal},
    session::{Outgoing, Session, Terms},
};
use crate::{
    fsm::Time,
    wire::{MethodId, ReplyCode},
};

/// While more waits to be taken nothing is read.
const HIGH: usize = 4 * 1024 * 1024;

/// A broker that is nothing but state. Made by [`Builder::unplugged`].
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unplugged {
    core: Core,
    terms: Arc<Terms>,
    plugs: BTreeMap<ConnId, Plug>,
    last: u64,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Plug {
    session: Session,
    /// The start of an incomplete frame.
    input: BytesMut,
    out: Outgoing,
    /// Something was taken from the core that is not reported as sent.
    owed: bool,
}

impl Builder {
    /// A broker without sockets, tasks and clock. The seed makes the names that it generates.
    #[doc(hidden)]
    pub fn unplugged(self, seed: u64) -> Unplugged {
        let (core, terms, _) = self.parts(0, seed);
        Unplugged { core, terms: Arc::new(terms), plugs: BTreeMap::new(), last: 0 }
    }
}

/// Connections.
impl Unplugged {
    /// A client has connected.
    pub fn accept(&mut self, now: Time) -> ConnectionId {
        self.last += 1;
        let conn = ConnId(self.last);
        let session = Session::new(conn, Arc::clone(&self.terms), true, now);
        let (input, out) = (BytesMut::new(), Outgoing::default());
        self.plugs.insert(conn, Plug { session, input, out, owed: false });
        ConnectionId(conn)
    }

    /// The socket of a connection is gone.
    pub fn disconnect(&mut self, id: ConnectionId, now: Time) {
        self.plugs.remove(&id.conn());
        self.core.disconnect(id.conn(), now);
    }

    /// Whether the broker reads from a connection: not while it is blocked, or does not take
    /// what it is sent.
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        self.plugs.get(&id.conn()).is_some_and(|plug| plug.out.len() < HIGH)
            && !self.core.is_blocked(id.conn())
    }

    /// Bytes from a client.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Time) {
        let Unplugged { core, plugs, .. } = self;
        if let Some(plug) = plugs.get_mut(&id.conn()) {
            plug.input.extend_from_slice(bytes);
            let block = plug.input.split().freeze();
            let done = plug.session.receive(core, &block, now);
            plug.input.extend_from_slice(block.get(done..).unwrap_or_default());
        }
    }

    /// Whether there is something to send to a client.
    pub fn has_output(&mut self, id: ConnectionId, now: Time) -> bool {
        self.gather(id, now);
        self.plugs.get(&id.conn()).is_some_and(|plug| !plug.out.is_empty())
    }

    /// Takes up to `most` bytes for a client.
    pub fn transmit(&mut self, id: ConnectionId, most: usize, now: Time) -> Bytes {
        self.gather(id, now);
        let Some(plug) = self.plugs.get_mut(&id.conn()) else { return Bytes::new() };
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let count = plug.out.slices(&mut slices);
        let pieces = slices.iter().take(count).flat_map(|slice| slice.iter().copied());
        let taken: Bytes = pieces.take(most).collect();
        plug.out.advance(taken.len());
        if plug.owed && plug.out.is_empty() {
            plug.owed = false;
            self.core.sent(id.conn(), now);
        }
        taken
    }

    /// Whether the broker hangs up: what it had to say is said.
    pub fn hangs_up(&mut self, id: ConnectionId, now: Time) -> bool {
        self.gather(id, now);
        self.plugs
            .get(&id.conn())
            .is_none_or(|plug| plug.session.is_closed() && plug.out.is_empty())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let sessions = self.plugs.values().filter_map(|plug| plug.session.poll_timeout());
        sessions.chain(self.core.poll_timeout()).min()
    }

    /// Does what falls due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.core.handle_timeout(now);
        for (conn, plug) in &mut self.plugs {
            if self.core.is_blocked(*conn) {
                plug.session.excuse(now);
            }
            plug.session.handle_timeout(now);
        }
    }

    /// Encodes what core and session have to say.
    fn gather(&mut self, id: ConnectionId, now: Time) {
        let Some(plug) = self.plugs.get_mut(&id.conn()) else { return };
        // Whoever asks need not be woken.
        self.core.take_wakes(&mut Vec::new());
        let mut outputs: Vec<Output> = Vec::new();
        self.core.take_outputs(id.conn(), &mut outputs);
        plug.owed |= !outputs.is_empty();
        plug.session.speak(&mut outputs, &mut plug.out, now);
    }
}

/// What it holds, and how it misbehaves.
impl Unplugged {
    /// The queues of the virtual host `/`.
    pub fn queues(&mut self, now: Time) -> Vec<QueueInfo> {
        self.core.inspect_queues("/", now)
    }

    /// The numbers of the channels that a connection has open.
    pub fn channels(&self, id: ConnectionId) -> Vec<u16> {
        let connections = self.core.inspect_connections();
        connections
            .into_iter()
            .find(|found| found.id == id)
            .map_or(Vec::new(), |found| found.channels)
    }

    /// The bodies of all messages of a queue of the virtual host `/`: those that wait, in order, and
    /// then those that are delivered and not settled.
    pub fn messages(&self, queue: &str) -> Vec<Bytes> {
        self.core.bodies("/", queue)
    }

    /// The bindings of the virtual host `/`.
    pub fn bindings(&self) -> Vec<BindingInfo> {
        self.core.inspect_bindings("/")
    }

    /// Octets that all messages take.
    pub fn stored(&self) -> usize {
        self.core.stored()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.plugs.len()
    }

    /// Raises or clears the memory alarm.
    pub fn set_alarm(&mut self, alarm: bool) {
        self.core.set_alarm(alarm);
    }

    /// Keeps confirms back, or releases them.
    pub fn withhold_confirms(&mut self, withhold: bool, now: Time) {
        self.core.mischief.withhold_confirms = withhold;
        if !withhold {
            self.core.flush_all(now);
        }
    }

    /// Tells each confirm so much later than it could be told, from the next publish on.
    pub fn delay_confirms(&mut self, by: Duration) {
        self.core.mischief.delay_confirms = by;
    }

    /// Drops the next `count` publishes on confirming channels and nacks them.
    pub fn nack_publishes(&mut self, count: u64) {
        self.core.mischief.nack_publishes = count;
    }

    /// Closes a connection with a code and a text.
    pub fn close_connection(&mut self, id: ConnectionId, code: ReplyCode, text: &str, now: Time) {
        let refusal = Refusal::new(code, text);
        self.core.close_connection(id.conn(), refusal, MethodId::default(), now);
    }

    /// Closes a channel with a code and a text. Tells whether there was one.
    pub fn close_channel(
        &mut self,
        id: ConnectionId,
        channel: u16,
        code: ReplyCode,
        text: &str,
        now: Time,
    ) -> bool {
        let at = At { conn: id.conn(), channel };
        self.core.close_open_channel(at, Refusal::new(code, text), now)
    }

    /// Cancels the consumers of a queue. Tells how many there were.
    pub fn cancel_consumers(&mut self, queue: &str, now: Time) -> usize {
        self.core.cancel_consumers("/", queue, now)
    }

    /// Deletes a queue with its messages. Tells whether there was one.
    pub fn delete_queue(&mut self, queue: &str, now: Time) -> bool {
        self.core.remove_queue("/", queue, now)
    }
}
