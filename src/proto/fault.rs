//! Why something ended, sorted by who is to blame.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::wire::{FrameError, MethodError, MethodId, ReplyCode};

/// What an exception closed (AMQP 0-9-1, 1.5 and 2.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A soft error: the channel is gone, the connection lives.
    Channel,
    /// A hard error: the connection is gone with all its channels.
    Connection,
}

/// The broker closed a channel or the connection, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the broker closed the {scope} with {code} \"{text}\"{}", during(.method))]
pub struct Exception {
    /// What the broker closed.
    pub scope: Scope,
    /// The reply code.
    pub code: ReplyCode,
    /// The reply text, as the broker sent it (not UTF-8 is replaced).
    pub text: Arc<str>,
    /// The method that caused it, where the broker named one.
    pub method: Option<MethodId>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Channel => "channel",
            Scope::Connection => "connection",
        })
    }
}

fn during(method: &Option<MethodId>) -> String {
    method.map_or_else(String::new, |method| format!(" during {method}"))
}

/// The peer broke the protocol; the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The bytes are not a frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A method frame could not be decoded.
    #[error("{0}")]
    Method(#[from] MethodError),
    /// A method arrived that nothing awaited.
    #[error("unexpected {method} while awaiting {awaited}")]
    UnexpectedMethod {
        /// What arrived.
        method: MethodId,
        /// What the connection or channel was awaiting.
        awaited: &'static str,
    },
    /// A frame arrived for a channel that is not open.
    #[error("a frame for channel {0}, which is not open")]
    UnknownChannel(u16),
    /// A content header or body arrived out of turn (4.2.6).
    #[error("{found} on channel {channel} while awaiting {awaited}")]
    UnexpectedContent {
        /// The channel.
        channel: u16,
        /// The kind of frame that arrived.
        found: &'static str,
        /// What was awaited.
        awaited: &'static str,
    },
    /// A body frame carried more than its header announced.
    #[error("the body on channel {0} is longer than its header announced")]
    BodyTooLong(u16),
    /// The properties of a content header are malformed.
    #[error("a malformed content header on channel {0}")]
    ContentHeader(u16),
    /// A delivery for a consumer that does not exist.
    #[error("a delivery for an unknown consumer on channel {0}")]
    UnknownConsumer(u16),
    /// A confirm for a publish that was never made.
    #[error("a confirm for delivery tag {tag} on channel {channel}, which was never published")]
    UnknownConfirm {
        /// The channel.
        channel: u16,
        /// The tag that the broker named.
        tag: u64,
    },
    /// The broker's proposal in connection.tune is below the protocol's minimum.
    #[error("the broker proposed a frame_max of {0}, below the protocol's minimum of 4096")]
    FrameMaxTooSmall(u32),
    /// The broker offers none of the mechanisms that the caller allows.
    #[error("the broker offers the SASL mechanisms \"{offered}\", none of which is allowed here")]
    NoMechanism {
        /// The broker's list, separated by spaces.
        offered: Arc<str>,
    },
    /// The broker asks a SASL question that the mechanism does not have.
    #[error("the broker sent connection.secure, which the mechanism does not have")]
    UnexpectedChallenge,
    /// Too many frames that cost the sender nothing.
    #[error("a flood of {0}")]
    Flood(&'static str),
}

/// The link broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The peer ended the stream.
    #[error("the peer ended the stream")]
    EndOfStream,
    /// The stream ended during authentication, which is how a broker without the capability
    /// `authentication_failure_close` refuses credentials.
    #[error("the peer ended the stream during authentication: are the credentials right?")]
    DuringAuthentication,
    /// Reading or writing failed.
    #[error("{}", io::Error::from(*.0))]
    Io(io::ErrorKind),
    /// TLS ended the connection, for instance since our certificate is not trusted there: what
    /// TLS 1.3 tells only after its handshake.
    #[error("TLS failed")]
    Tls,
    /// Nothing arrived for two heartbeat intervals.
    #[error("nothing arrived for two heartbeat intervals of {0:?}")]
    Heartbeat(Duration),
    /// The handshake did not end within the connection timeout.
    #[error("the peer did not complete the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// No connection could be made.
    #[error("no host could be reached")]
    Unreachable,
}

/// Why a connection or a channel ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// This client closed it.
    #[error("closed by this client")]
    ByUs,
    /// The broker closed it.
    #[error(transparent)]
    Exception(#[from] Exception),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The broker allows fewer channels after a reconnect than there are.
    #[error("the broker allows only {max} channels since it came back")]
    TooManyChannels {
        /// The negotiated channel_max.
        max: u16,
    },
    /// The link broke.
    #[error("the connection was lost: {0}")]
    Lost(#[from] Loss),
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The channel or the connection ended, before or during the call.
    #[error(transparent)]
    Ended(#[from] Arc<Cause>),
    /// The broker did not answer within the deadline. The call may still take effect; its
    /// answer will be discarded.
    #[error("no answer to {operation} within {after:?}")]
    Timeout {
        /// The method that was sent.
        operation: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// All channel ids that were negotiated are in use.
    #[error("all {max} channels that were negotiated are in use")]
    TooManyChannels {
        /// The negotiated channel_max.
        max: u16,
    },
    /// A transaction was cut by a lost connection; roll it back to go on.
    #[error("the transaction was lost with the connection; roll it back to go on")]
    TransactionLost,
}
