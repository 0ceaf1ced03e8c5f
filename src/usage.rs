//! What a program can get wrong that no type refuses: found before anything is sent.

use std::sync::Arc;

use crate::{
    name::Realm,
    wire::{NameTooLong, ShortString},
};

/// The caller is to blame, and nothing was sent: the channel and the connection are as they were.
///
/// ```
/// use hopmq::UsageError;
///
/// let error = UsageError::EmptyName { what: "queue name" };
/// assert_eq!(error.to_string(), "the queue name is empty");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// A name, key or text property is longer than AMQP can say (AMQP 0-9-1, 4.2.5.3).
    #[error("the {what} has {len} bytes: AMQP carries at most 255")]
    NameTooLong {
        /// What it names, e.g. "routing key".
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A name is empty: to the broker that means "the one declared last", or the default exchange.
    #[error("the {what} is empty")]
    EmptyName {
        /// What it should name.
        what: &'static str,
    },
    /// A name is the broker's own: it refuses `amq.` names to others with 403.
    #[error("the {what} `{name}` is reserved: names that start with `amq.` are the broker's own")]
    ReservedName {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: ShortString,
    },
    /// A name has a line break: the broker would take it out and so use another name.
    #[error("the {what} {name:?} has a line break, which the broker would take out")]
    LineBreak {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: ShortString,
    },
    /// A header is this library's own.
    #[error("the header `{name}` is used by this library itself")]
    ReservedHeader {
        /// The header.
        name: &'static str,
    },
    /// A value that the broker would refuse with 406, or would ignore.
    #[error("{argument}: {problem}")]
    BadArgument {
        /// The argument or property, as the broker names it.
        argument: ShortString,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A token of another broker or virtual host: what it names is not there.
    #[error("`{token}` was declared at {declared_at}, but is used at {used_at}")]
    WrongBroker {
        /// The exchange or queue.
        token: ShortString,
        /// Where it was declared.
        declared_at: Arc<str>,
        /// Where it was to be used.
        used_at: Arc<str>,
    },
    /// An exclusive queue belongs to the connection that declared it (AMQP 0-9-1, 1.7.2.1).
    #[error("the exclusive queue `{queue}` can be used only on the connection that declared it")]
    ForeignExclusiveQueue {
        /// The queue.
        queue: ShortString,
    },
    /// A message is larger than the configuration or the broker allows.
    #[error("a body of {size} bytes is over the limit of {max}")]
    BodyTooLarge {
        /// The size of the body in bytes.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The properties of a message, its headers included, are larger than the configuration allows.
    #[error("message properties of {size} bytes are over the limit of {max}")]
    HeadersTooLarge {
        /// Their size in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Properties or arguments do not fit one frame, which AMQP wants (AMQP 0-9-1, 4.2.6).
    #[error("the {what} need {size} bytes, more than the {max} of one frame")]
    TooLargeForFrame {
        /// "message properties" or "arguments".
        what: &'static str,
        /// Their size in bytes.
        size: usize,
        /// What fits.
        max: usize,
    },
}

impl UsageError {
    /// Says what the name that is too long was for.
    pub(crate) fn too_long(what: &'static str) -> impl FnOnce(NameTooLong) -> Self {
        move |error| UsageError::NameTooLong { what, len: error.len }
    }

    pub(crate) fn bad(argument: &'static str, problem: &'static str) -> Self {
        let argument = ShortString::from_static(argument).unwrap_or_default();
        UsageError::BadArgument { argument, problem }
    }

    pub(crate) fn wrong_broker(token: ShortString, declared_at: &Realm, used_at: &Realm) -> Self {
        UsageError::WrongBroker {
            token,
            declared_at: declared_at.to_string().into(),
            used_at: used_at.to_string().into(),
        }
    }
}

impl From<NameTooLong> for UsageError {
    fn from(error: NameTooLong) -> Self {
        UsageError::too_long("name")(error)
    }
}
