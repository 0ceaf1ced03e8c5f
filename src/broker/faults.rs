//! Faults on purpose: what a broker, a network or an operator may do to a client, on demand.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Broker, BrokerState, ConnectionId, IsServing, Permissions,
    core::{At, Refusal, User},
    shared::Shared,
};
use crate::wire::{MethodId, ReplyCode};

/// Makes a broker misbehave. Made by [`Broker::faults`]; clones steer the same broker.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// # use hopmq::broker::Broker;
/// let broker = Broker::bind("127.0.0.1:0").await?;
/// let faults = broker.faults();
/// faults.withhold_confirms(); // publishers wait ...
/// faults.cut_connections(); // ... and never hear
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl<S: BrokerState> Broker<S> {
    /// The faults that this broker can be told to have.
    pub fn faults(&self) -> Faults
    where
        Self: IsServing,
    {
        Faults { shared: Arc::clone(&self.serving().shared) }
    }
}

impl Faults {
    /// Takes publishes in, but tells nobody, until [`release_confirms`](Self::release_confirms).
    pub fn withhold_confirms(&self) {
        self.shared.with(None, |core, _| core.mischief.withhold_confirms = true);
    }

    /// Sends the confirms that were withheld, and no longer withholds any.
    pub fn release_confirms(&self) {
        self.shared.with(None, |core, now| {
            core.mischief.withhold_confirms = false;
            core.flush_all(now);
        });
    }

    /// Sends confirms that become due together one by one and the last first, until it is told
    /// otherwise; with [`withhold_confirms`](Self::withhold_confirms) that is all that were
    /// withheld.
    pub fn reverse_confirms(&self, reverse: bool) {
        self.shared.with(None, |core, _| core.mischief.reverse_confirms = reverse);
    }

    /// Tells each confirm so much later than it could be told, from the next publish on, as a slow
    /// disk does; zero ends it for later publishes. In their order: a shorter delay overtakes nothing.
    pub fn delay_confirms(&self, by: Duration) {
        self.shared.with(None, |core, _| core.mischief.delay_confirms = by);
    }

    /// Cuts the connection on which this method arrives next, before it is done. Once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// use hopmq::{broker::Broker, wire::{MethodFrame, method::basic::Publish}};
    ///
    /// let broker = Broker::bind("127.0.0.1:0").await?;
    /// broker.faults().cut_before(Publish::ID);
    /// # Ok(()) }
    /// ```
    pub fn cut_before(&self, method: MethodId) {
        self.shared.with(None, |core, _| core.mischief.cut_before = Some(method));
    }

    /// Cuts the connection on which this method arrives next, after it is done and before its
    /// answer or confirm. Once.
    pub fn cut_after(&self, method: MethodId) {
        self.shared.with(None, |core, _| core.mischief.cut_after = Some(method));
    }

    /// Cuts the connection on which the n-th frame from now arrives, whichever connection it is,
    /// and does not look at that frame. Once.
    pub fn cut_at_frame(&self, n: u64) {
        self.shared.with(None, |core, _| core.mischief.cut_at_frame = Some(n));
    }

    /// Adds a user, or gives one that exists another password and permissions: what an operator
    /// does meanwhile. Connections that are open keep the permissions that they have.
    pub fn add_user(&self, name: &str, password: impl AsRef<[u8]>, permissions: Permissions) {
        let user = User { password: password.as_ref().to_vec(), permissions };
        self.shared.with(None, |core, _| core.add_user(name, user));
    }

    /// Drops the next `count` publishes on confirming channels and nacks them. Publishes after
    /// those are taken again; zero ends it early.
    pub fn nack_publishes(&self, count: u64) {
        self.shared.with(None, |core, _| core.mischief.nack_publishes = count);
    }

    /// Raises the memory alarm: connections that publish are told so and no longer read. Those that
    /// have published are told at once, where RabbitMQ waits until they publish again.
    pub fn block(&self) {
        self.shared.with(None, |core, _| core.set_alarm(true));
        self.shared.ring_all();
    }

    /// Clears the alarm.
    pub fn unblock(&self) {
        self.shared.with(None, |core, _| core.set_alarm(false));
        self.shared.ring_all();
    }

    /// Reads nothing from any connection, without a word; what is due to be sent is sent.
    pub fn stop_reading(&self) {
        self.shared.deaf.store(true, Ordering::Release);
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.shared.deaf.store(false, Ordering::Release);
        self.shared.ring_all();
    }

    /// Hangs up on whoever connects, before a word is said.
    pub fn refuse_connections(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    /// Serves who connects again.
    pub fn accept_connections(&self) {
        self.shared.closed.store(false, Ordering::Release);
    }

    /// Ends every connection without a word, those that are not open yet among them.
    pub fn cut_connections(&self) {
        self.shared.cut_all();
    }

    /// Ends one connection without a word.
    pub fn cut(&self, connection: ConnectionId) {
        self.shared.cut(connection.conn());
    }

    /// Closes every open connection with a code and a text, as an operator of RabbitMQ does with
    /// 320 and `CONNECTION_FORCED - ...`. The code's name is put before the text.
    pub fn close_connections(&self, code: ReplyCode, text: &str) {
        self.shared.close_connections(code, text);
    }

    /// Closes one connection with a code and a text.
    pub fn close_connection(&self, connection: ConnectionId, code: ReplyCode, text: &str) {
        self.shared.with(None, |core, now| {
            core.close_connection(
                connection.conn(),
                Refusal::new(code, text),
                MethodId::default(),
                now,
            );
        });
    }

    /// Closes a channel with a code and a text. A code that the protocol calls a connection's
    /// closes the connection. Tells whether there was such a channel.
    pub fn close_channel(
        &self,
        connection: ConnectionId,
        channel: u16,
        code: ReplyCode,
        text: &str,
    ) -> bool {
        let at = At { conn: connection.conn(), channel };
        self.shared
            .with(None, |core, now| core.close_open_channel(at, Refusal::new(code, text), now))
    }

    /// Cancels the consumers of a queue, as RabbitMQ does when the queue's leader moves or an
    /// acknowledgement is overdue. Tells how many there were.
    pub fn cancel_consumers(&self, vhost: &str, queue: &str) -> usize {
        self.shared.with(None, |core, now| core.cancel_consumers(vhost, queue, now))
    }

    /// Deletes a queue with its messages, whoever it belongs to. Tells whether there was one.
    pub fn delete_queue(&self, vhost: &str, queue: &str) -> bool {
        self.shared.with(None, |core, now| core.remove_queue(vhost, queue, now))
    }
}
