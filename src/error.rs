//! Errors, sorted by who is to blame.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use crate::driver::tls::TlsError;
use crate::{
    config::ConfigError,
    driver::dial::{Attempt, DialError},
    proto::{CallError, Cause, ConsumerEnd, Exception, Inequivalent, Loss, SettleError, Violation},
    usage::UsageError,
    wire::{MethodId, ReplyCode, ShortString},
};

/// Who has to change something so that the same call succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// This program: a name is too long, a channel was closed before it was used.
    Caller,
    /// What the broker has and allows: a queue is missing, arguments differ, access is refused.
    Broker,
    /// The network between, or a broker that is not there.
    Network,
    /// The peer broke the protocol: it is not an AMQP broker, or one with a defect.
    Peer,
}

/// Why a call did not succeed.
///
/// Whatever a channel or connection ended of, every later call on it says so again, with the
/// broker's code, text and method.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller is to blame; nothing was sent.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The configuration cannot work; nothing was dialled.
    #[error("the configuration cannot work")]
    Config(#[from] ConfigError),
    /// The broker closed the channel or the connection.
    #[error(transparent)]
    Broker(#[from] Exception),
    /// The connection was lost, or could not be made.
    #[error("{loss}")]
    Network {
        /// What happened.
        loss: Loss,
        /// The socket's error or what was tried, where there is one.
        source: Option<Arc<io::Error>>,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol")]
    Peer(#[source] Violation),
    /// The broker did not answer in time. The call may still take effect.
    #[error("no answer to {operation} within {after:?}")]
    Timeout {
        /// The method that was sent, or what was waited for.
        operation: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// This program closed the channel or the connection before.
    #[error("closed by this program")]
    Closed,
    /// The broker has blocked publishing and the configuration says not to wait.
    #[error("the broker has blocked publishing: {reason}")]
    Blocked {
        /// The broker's reason.
        reason: Arc<str>,
    },
    /// Too many attempts to reconnect have failed; the broker is left alone for a while.
    #[error("the circuit breaker is open; the next attempt is in {next_probe_in:?}")]
    CircuitOpen {
        /// When the next attempt is made.
        next_probe_in: Duration,
    },
    /// All channels that were negotiated are in use.
    #[error("all {max} channels that were negotiated are in use")]
    TooManyChannels {
        /// The negotiated channel_max.
        max: u16,
    },
    /// A lost connection cut a transaction: roll it back to go on.
    #[error("the transaction was lost with the connection; roll it back to go on")]
    TransactionLost,
    /// The delivery was made on a connection that was lost since; the broker has requeued it.
    #[error("the delivery is stale: the connection was lost since, and the broker requeued it")]
    Stale,
    /// A publish was not confirmed.
    #[error(transparent)]
    Unconfirmed(Box<Unconfirmed>),
    /// A consumer ended, or could not take a message.
    #[error(transparent)]
    Consumer(ConsumeError),
}

impl Error {
    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Error::Usage(_) | Error::Config(_) | Error::Closed | Error::TooManyChannels { .. } => {
                Blame::Caller
            }
            Error::Consumer(ConsumeError::Overrun { .. }) => Blame::Caller,
            Error::Broker(_) | Error::Blocked { .. } | Error::Consumer(_) => Blame::Broker,
            Error::Unconfirmed(reason) => match &**reason {
                Unconfirmed::Unknown(error) => error.blame(),
                _ => Blame::Broker,
            },
            Error::Network { .. }
            | Error::CircuitOpen { .. }
            | Error::Timeout { .. }
            | Error::TransactionLost
            | Error::Stale => Blame::Network,
            Error::Peer(_) => Blame::Peer,
        }
    }

    /// What kind of error it is, in one word, for metrics and traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Usage(_) => "usage",
            Error::Config(_) => "config",
            Error::Broker(_) => "broker",
            Error::Network { .. } => "network",
            Error::Peer(_) => "protocol",
            Error::Timeout { .. } => "timeout",
            Error::Closed => "closed",
            Error::Blocked { .. } => "blocked",
            Error::CircuitOpen { .. } => "circuit_open",
            Error::TooManyChannels { .. } => "too_many_channels",
            Error::TransactionLost => "transaction_lost",
            Error::Stale => "stale",
            Error::Unconfirmed(_) => "unconfirmed",
            Error::Consumer(_) => "consumer",
        }
    }

    /// The broker's reply code, when it is the broker who refused.
    pub fn reply_code(&self) -> Option<ReplyCode> {
        match self {
            Error::Broker(exception) => Some(exception.code),
            _ => None,
        }
    }

    /// The broker's text, when it is the broker who refused.
    pub fn reply_text(&self) -> Option<&str> {
        match self {
            Error::Broker(exception) => Some(&exception.text),
            _ => None,
        }
    }

    /// The method that the broker refused, where it named one.
    pub fn method(&self) -> Option<MethodId> {
        match self {
            Error::Broker(exception) => exception.method,
            _ => None,
        }
    }

    /// The argument in which a declaration differs from what exists, when that is why the broker
    /// refused.
    pub fn inequivalent(&self) -> Option<Inequivalent<'_>> {
        match self {
            Error::Broker(exception) => exception.inequivalent(),
            _ => None,
        }
    }

    /// What was tried when no host could be reached: each attempt, in order, with how it failed.
    /// Empty for other errors.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use hopmq::{Conn, Uri};
    ///
    /// let uri: Uri = "amqp://127.0.0.1:1,127.0.0.1:2".parse().expect("an address");
    /// let failed = Conn::new(uri).connect().await.expect_err("nobody listens there");
    /// for attempt in failed.error().attempts() {
    ///     println!("{}: {}", attempt.address, attempt.cause);
    /// }
    /// assert_eq!(failed.error().attempts().len(), 2);
    /// # }
    /// ```
    pub fn attempts(&self) -> &[Attempt] {
        self.dial_error().map_or(&[], DialError::attempts)
    }

    /// Why TLS failed, where that is why the last host could not be reached or the connection ended.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsError> {
        let Error::Network { source: Some(socket), .. } = self else { return None };
        match self.attempts() {
            [] => TlsError::of_socket(socket),
            attempts => attempts.iter().rev().find_map(|attempt| attempt.cause.tls()),
        }
    }

    fn dial_error(&self) -> Option<&DialError> {
        match self {
            Error::Network { source: Some(source), .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Broker(exception) => matches!(
                exception.code,
                ReplyCode::CONNECTION_FORCED
                    | ReplyCode::INTERNAL_ERROR
                    | ReplyCode::RESOURCE_LOCKED
            ),
            Error::Network { loss: Loss::DuringAuthentication | Loss::Tls, .. } => false,
            Error::Network { .. } => {
                !self.dial_error().is_some_and(DialError::somebody_must_change_something)
            }
            other => !matches!(other.blame(), Blame::Caller | Blame::Peer),
        }
    }

    /// From the protocol's words, with the socket's error where that is the cause.
    pub(crate) fn from_call(error: CallError, socket: Option<Arc<io::Error>>) -> Self {
        match error {
            CallError::Ended(cause) => Error::from_cause(&cause, socket),
            CallError::Timeout { operation, after } => Error::Timeout { operation, after },
            CallError::TooManyChannels { max } => Error::TooManyChannels { max },
            CallError::TransactionLost => Error::TransactionLost,
        }
    }

    /// Why a channel or connection ended.
    pub(crate) fn from_cause(cause: &Cause, socket: Option<Arc<io::Error>>) -> Self {
        match cause {
            Cause::ByUs => Error::Closed,
            Cause::Exception(exception) => Error::Broker(exception.clone()),
            Cause::TooManyChannels { max } => Error::TooManyChannels { max: *max },
            Cause::Violation(violation) => Error::Peer(violation.clone()),
            Cause::Lost(loss) => {
                let has_source = matches!(loss, Loss::Io(_) | Loss::Tls | Loss::Unreachable);
                Error::Network { loss: *loss, source: socket.filter(|_| has_source) }
            }
        }
    }

    /// Why a delivery could not be settled.
    pub(crate) fn from_settle(error: SettleError, socket: Option<Arc<io::Error>>) -> Self {
        match error {
            SettleError::Stale => Error::Stale,
            SettleError::Ended(cause) => Error::from_cause(&cause, socket),
        }
    }
}

/// Why a publish was not confirmed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// It was mandatory and no queue took it: it is nowhere.
    #[error("returned by the broker: {code} \"{text}\"")]
    Returned {
        /// The reply code, 312 for "no route".
        code: ReplyCode,
        /// The broker's text.
        text: Arc<str>,
    },
    /// The broker refused it: a full queue that rejects, or a failure inside the broker. It is
    /// safe to publish it again.
    #[error("refused by the broker (basic.nack)")]
    Nacked,
    /// The channel or connection ended before the broker answered, or it did not answer in time:
    /// the message may or may not have arrived. Publishing it again may duplicate it.
    #[error("the outcome is unknown: {0}")]
    Unknown(#[source] Error),
}

/// Why a consumer ended that was not cancelled by this program.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The broker cancelled it: its queue was deleted, or the queue's node went away
    /// (<https://www.rabbitmq.com/docs/consumer-cancel>).
    #[error("the broker cancelled the consumer on queue '{queue}': was the queue deleted?")]
    CancelledByBroker {
        /// The queue.
        queue: ShortString,
    },
    /// It did not take its deliveries for longer than
    /// [`Limits::consumer_stall`](crate::Limits::consumer_stall), so it was cancelled before it
    /// starved the other channels of its connection. So is whoever holds the most when all consumers of
    /// a connection together hold more than
    /// [`Limits::inbound_bytes`](crate::Limits::inbound_bytes) for that long.
    #[error("the consumer on queue '{queue}' did not keep up and was cancelled")]
    Overrun {
        /// The queue.
        queue: ShortString,
    },
    /// A message was larger than [`Limits::body_size`](crate::Limits::body_size): its body was
    /// discarded, and it was rejected.
    #[error("a message of {size} bytes on queue '{queue}' is over the limit; it was rejected")]
    TooLarge {
        /// The queue.
        queue: ShortString,
        /// The size of its body.
        size: u64,
    },
    /// The properties of a message were larger than
    /// [`Limits::header_size`](crate::Limits::header_size): it was discarded, and rejected.
    #[error(
        "a message with {size} bytes of headers on queue '{queue}' is over the limit; it was rejected"
    )]
    HeadersTooLarge {
        /// The queue.
        queue: ShortString,
        /// The size of its property list.
        size: u64,
    },
    /// The channel or the connection ended.
    #[error("{0}")]
    Ended(#[source] Box<Error>),
}

impl ConsumeError {
    /// Why a consumer ended, or was interrupted; nothing when this program cancelled it.
    pub(crate) fn from_end(
        end: ConsumerEnd,
        queue: &ShortString,
        socket: impl FnOnce() -> Option<Arc<io::Error>>,
    ) -> Option<Self> {
        let queue = queue.clone();
        match end {
            ConsumerEnd::Cancelled => None,
            ConsumerEnd::CancelledByBroker => Some(ConsumeError::CancelledByBroker { queue }),
            ConsumerEnd::Overrun => Some(ConsumeError::Overrun { queue }),
            ConsumerEnd::Ended(cause) => {
                Some(ConsumeError::Ended(Box::new(Error::from_cause(&cause, socket()))))
            }
        }
    }
}

impl From<ConsumeError> for Error {
    fn from(error: ConsumeError) -> Self {
        match error {
            ConsumeError::Ended(error) => *error,
            other => Error::Consumer(other),
        }
    }
}

/// A transition that failed, with the handle that remains.
///
/// `?` turns it into its [`Error`]; [`Failed::into_parts`] keeps the handle.
#[derive(Debug)]
pub struct Failed<H> {
    error: Error,
    remains: Box<H>,
}

impl<H> Failed<H> {
    pub(crate) fn new(error: Error, remains: H) -> Self {
        Failed { error, remains: Box::new(remains) }
    }

    /// Why it failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The error and the handle, to try again with.
    pub fn into_parts(self) -> (Error, H) {
        (self.error, *self.remains)
    }
}

impl<H> std::fmt::Display for Failed<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<H: std::fmt::Debug> StdError for Failed<H> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl<H> From<Failed<H>> for Error {
    fn from(failed: Failed<H>) -> Self {
        failed.error
    }
}
