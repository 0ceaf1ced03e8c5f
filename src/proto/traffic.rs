//! What went through a connection, counted.

/// What went through a connection since it was made, both ways, through every reconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages that were published; one that is replayed counts once.
    pub published: u64,
    /// The bytes of their bodies.
    pub published_bytes: u64,
    /// Publishes that the broker answered with an ack. Those that were returned are among them: the
    /// ack only says that the broker is done with them.
    pub confirmed: u64,
    /// Publishes that the broker refused with a nack.
    pub nacked: u64,
    /// Messages that came back since no queue took them.
    pub returned: u64,
    /// Messages that arrived: deliveries, and what was fetched with
    /// [`get`](crate::Chan::get).
    pub delivered: u64,
    /// The bytes of their bodies.
    pub delivered_bytes: u64,
    /// Those of them that had been delivered before.
    pub redelivered: u64,
    /// Bytes handed to the socket, or to TLS on it.
    pub bytes_sent: u64,
    /// Bytes that came from it and were understood.
    pub bytes_received: u64,
}

/// What is going on on a channel at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChanStats {
    /// Consumers that messages may still come for.
    pub consumers: usize,
    /// Deliveries that were taken and are not settled yet.
    pub unsettled: usize,
    /// Publishes that the broker has not answered yet.
    pub unconfirmed: usize,
    /// Whether something was published or settled since the last commit or rollback, or such a
    /// transaction was lost and not rolled back yet.
    pub has_open_transaction: bool,
}

impl Traffic {
    #[inline]
    pub(super) fn publish(&mut self, bytes: usize) {
        self.published += 1;
        self.published_bytes += bytes as u64;
    }

    #[inline]
    pub(super) fn answered(&mut self, publishes: usize, nacked: bool) {
        let counter = if nacked { &mut self.nacked } else { &mut self.confirmed };
        *counter += publishes as u64;
    }

    #[inline]
    pub(super) fn deliver(&mut self, messages: usize, bytes: usize, redelivered: usize) {
        self.delivered += messages as u64;
        self.delivered_bytes += bytes as u64;
        self.redelivered += redelivered as u64;
    }
}
