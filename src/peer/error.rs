//! Why a queue between brokers did not come about, did not take a message, or ended.

use std::time::Duration;

use super::core::{Doubt, Ending};
use crate::{error::Error, message::Message, usage::UsageError, wire::ReplyCode};

/// Why there is no queue to a peer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No peer of that name accepts queues at that place.
    #[error("no peer '{name}' accepts queues there")]
    NoSuchPeer {
        /// The name that was asked for.
        name: String,
    },
    /// The peer has as many queues as it wants.
    #[error("peer '{name}' accepts no more queues")]
    Busy {
        /// Its name.
        name: String,
    },
    /// The broker there did not accept the credentials.
    #[error("the broker refused the credentials")]
    Credentials(#[source] Error),
    /// The broker there has no such virtual host, or not for this user.
    #[error("the broker refused the virtual host")]
    Vhost(#[source] Error),
    /// No broker could be reached there.
    #[error("no broker could be reached")]
    Unreachable(#[source] Error),
    /// The broker there refused something else, e.g. a queue's name.
    #[error("the broker refused")]
    Broker(#[source] Error),
    /// The peer did not answer in time.
    #[error("peer '{name}' did not answer within {after:?}")]
    NoAnswer {
        /// Its name.
        name: String,
        /// The deadline.
        after: Duration,
    },
    /// A peer's name is 1 to 64 bytes long.
    #[error("a peer's name has 1 to 64 bytes, not {length}")]
    Name {
        /// The length of that name.
        length: usize,
    },
}

impl Refused {
    /// Sorts what the client reported while it connected.
    pub(super) fn from_connecting(error: Error) -> Self {
        match &error {
            Error::Broker(refusal) if refusal.code == ReplyCode::ACCESS_REFUSED => {
                Refused::Credentials(error)
            }
            Error::Broker(refusal) if refusal.code == ReplyCode::NOT_ALLOWED => {
                Refused::Vhost(error)
            }
            Error::Network { loss: crate::proto::Loss::DuringAuthentication, .. } => {
                Refused::Credentials(error)
            }
            Error::Broker(_) | Error::Usage(_) | Error::Config(_) => Refused::Broker(error),
            _ => Refused::Unreachable(error),
        }
    }
}

/// Why a peer cannot be reached under its name.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A peer's name is 1 to 64 bytes long.
    #[error("a peer's name has 1 to 64 bytes, not {length}")]
    Name {
        /// The length of that name.
        length: usize,
    },
    /// Another peer listens under that name at that place.
    #[error("another peer listens as '{name}' there")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The broker listens on no address that is usable here.
    #[error("the broker has no address to connect to")]
    NoAddress,
    /// The broker there could not be reached, or refused.
    #[error("the place could not be used")]
    Place(#[source] Error),
}

/// A message that a queue did not take, with the message.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    #[source]
    reason: NotSent,
    message: Box<Message>,
}

impl SendError {
    pub(super) fn new(reason: NotSent, message: Message) -> Self {
        SendError { reason, message: Box::new(message) }
    }

    /// Why it was not taken.
    pub fn reason(&self) -> &NotSent {
        &self.reason
    }

    /// The reason and the message.
    pub fn into_parts(self) -> (NotSent, Message) {
        (self.reason, *self.message)
    }
}

/// Why a queue did not take a message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The other side did not make room in time.
    #[error("the queue had no room within {after:?}")]
    Full {
        /// The deadline, [`Settings::send_timeout`](super::Settings::send_timeout).
        after: Duration,
    },
    /// It is larger than everything that may be under way.
    #[error("a message of {size} bytes is larger than the queue's {most}")]
    TooLarge {
        /// Its size, body and headers.
        size: usize,
        /// The bound, the lower of both sides'.
        most: usize,
    },
    /// AMQP cannot carry it.
    #[error(transparent)]
    Usage(UsageError),
    /// The queue has ended.
    #[error(transparent)]
    Ended(#[from] End),
}

/// How a queue ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// This program closed it, and the other side took what was sent, or closed as well.
    #[error("this program closed the queue")]
    Closed,
    /// The other side closed it.
    #[error("the other side closed the queue")]
    ClosedByPeer,
    /// This program ended it by force: by [`abort`](super::MessageQueue::abort), by dropping it, or
    /// since the other side did not take everything before closing's deadline.
    #[error("this program ended the queue by force")]
    Aborted,
    /// The other side ended it by force.
    #[error("the other side ended the queue by force")]
    AbortedByPeer,
    /// The other side was silent, or out of reach, for too long.
    #[error("nothing was heard of the other side for {patience:?}")]
    Silent {
        /// The deadline, [`Settings::patience`](super::Settings::patience).
        patience: Duration,
        /// What was last wrong with the way there.
        #[source]
        cause: Option<Error>,
    },
    /// The other side did not keep to the rules of a queue.
    #[error("the other side broke the rules of the queue")]
    Violated,
}

impl End {
    pub(super) fn new(ending: Ending, patience: Duration, cause: Option<Error>) -> Self {
        match ending {
            Ending::Closed => End::Closed,
            Ending::ClosedByPeer => End::ClosedByPeer,
            Ending::Aborted => End::Aborted,
            Ending::AbortedByPeer => End::AbortedByPeer,
            Ending::Silent => End::Silent { patience, cause },
            Ending::Violated => End::Violated,
        }
    }
}

/// A message that was sent, and comes back since the other side did not confirm it.
#[derive(Debug, thiserror::Error)]
#[error("not confirmed: {end}")]
pub struct Unsent {
    message: Box<Message>,
    doubt: Doubt,
    #[source]
    end: End,
}

impl Unsent {
    pub(super) fn new(message: Message, doubt: Doubt, end: End) -> Self {
        Unsent { message: Box::new(message), doubt, end }
    }

    /// Whether the other side may have taken it nevertheless: it was under way when the other side
    /// fell silent, or when this one ended the queue by force. When this is false, it certainly did
    /// not.
    pub fn may_have_arrived(&self) -> bool {
        self.doubt == Doubt::Some
    }

    /// How the queue ended.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message, to be sent elsewhere.
    pub fn into_message(self) -> Message {
        *self.message
    }
}
