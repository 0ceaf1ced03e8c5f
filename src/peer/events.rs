//! What happens at a peer, as a stream.

use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;

use super::{
    error::{End, Refused},
    queue::QueueId,
};
use crate::{
    broker::{Announcer, Broker, Ending, Event, Listening},
    error::Error,
    wire::ReplyCode,
};

/// Something that happened at a [`Peer`](super::Peer).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// This peer connected to another one; the queue is ready.
    Connected {
        /// The queue.
        queue: QueueId,
        /// The other peer's name.
        to: String,
    },
    /// Connecting to another peer failed.
    Refused {
        /// The name that was asked for.
        to: String,
        /// Why.
        reason: Refused,
    },
    /// Another peer connected to this one; the queue is ready, and waits to be accepted.
    Accepted {
        /// The queue.
        queue: QueueId,
        /// The other peer's name.
        from: String,
    },
    /// Another peer was turned away.
    TurnedAway {
        /// The other peer's name.
        from: String,
        /// Why.
        reason: Refused,
    },
    /// A message was put into a queue.
    Sent {
        /// The queue.
        queue: QueueId,
        /// Its number, counted from 1.
        number: u64,
    },
    /// A message arrived and can be received.
    Arrived {
        /// The queue.
        queue: QueueId,
        /// Its number, counted from 1.
        number: u64,
    },
    /// The way to the other side was cut; it is sought again.
    Interrupted {
        /// The queue.
        queue: QueueId,
        /// By what.
        cause: Error,
    },
    /// The way to the other side is open again.
    Resumed {
        /// The queue.
        queue: QueueId,
    },
    /// The broker between holds this side back (<https://www.rabbitmq.com/docs/connection-blocked>):
    /// what is sent waits, as long as there is room. The queue stays open.
    Blocked {
        /// The queue.
        queue: QueueId,
        /// The broker's words.
        reason: Arc<str>,
    },
    /// The broker between takes messages again.
    Unblocked {
        /// The queue.
        queue: QueueId,
    },
    /// A queue has ended.
    Disconnected {
        /// The queue.
        queue: QueueId,
        /// The other peer's name.
        from: String,
        /// How.
        end: End,
    },
    /// So many events were not read in time, and are gone.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How many events wait for a reader; then the oldest go, and are counted.
const CAPACITY: usize = 1_024;

/// Where events are told.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    listeners: broadcast::Sender<PeerEvent>,
    /// The broker whose queues these are; its listeners are told, too.
    broker: Arc<OnceLock<Announcer>>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Teller { listeners: broadcast::Sender::new(CAPACITY), broker: Arc::default() }
    }

    /// Tells the listeners of that broker from now on, unless there is one already.
    pub(super) fn also_at(&self, broker: &Broker<Listening>) {
        let _ = self.broker.set(broker.announcer());
    }

    /// Tells whoever listens; the event is made only for them.
    pub(super) fn tell(&self, event: impl FnOnce() -> PeerEvent) {
        if self.listeners.receiver_count() > 0 {
            let _ = self.listeners.send(event());
        }
    }

    /// Tells of a queue as such, for which the broker's listeners have a word.
    pub(super) fn tell_both(&self, event: PeerEvent) {
        if let (Some(broker), Some(event)) = (self.broker.get(), at_the_broker(&event)) {
            broker.announce(event);
        }
        self.tell(|| event);
    }

    pub(super) fn listen(&self) -> PeerEvents {
        PeerEvents(self.listeners.subscribe())
    }
}

/// The same as an event of the broker, where that has one.
fn at_the_broker(event: &PeerEvent) -> Option<Event> {
    Some(match event {
        PeerEvent::Connected { to, .. } => Event::Connected { remote: to.clone() },
        PeerEvent::Refused { to, reason } => {
            Event::NotConnected { remote: to.clone(), reason: reason.to_string() }
        }
        PeerEvent::Disconnected { from, end, .. } => {
            Event::DisconnectedFrom { remote: from.clone(), ending: ending(end) }
        }
        _ => return None,
    })
}

fn ending(end: &End) -> Ending {
    match end {
        End::Closed => Ending::ByBroker { code: ReplyCode::REPLY_SUCCESS, text: end.to_string() },
        End::ClosedByPeer | End::AbortedByPeer => Ending::ByPeer,
        End::Aborted | End::Violated => Ending::Forced,
        End::Silent { .. } => Ending::TimedOut,
    }
}

/// The events of a peer from now on; see [`Peer::events`](super::Peer::events).
///
/// Nobody has to read them: at most 1,024 wait, then the oldest go, and
/// [`PeerEvent::Missed`] says how many.
#[derive(Debug)]
pub struct PeerEvents(broadcast::Receiver<PeerEvent>);

impl PeerEvents {
    /// The next event; `None` when the peer and all its queues are gone. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(PeerEvent::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
