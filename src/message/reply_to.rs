//! Where the answer to a message goes.

use crate::{
    queue::{Queue, QueueKind},
    sealed::Sealed,
    usage::UsageError,
    wire::ShortString,
};

/// Where answers can go: a queue's token, or a [`ReplyName`].
#[diagnostic::on_unimplemented(
    message = "answers do not go to a `{Self}`",
    label = "`reply_to` needs the token of a queue",
    note = "first write `let answers = chan.declare(Queue::server_named()).await?;`, then `.reply_to(&answers)`",
    note = "direct reply-to (`amq.rabbitmq.reply-to`) needs a consumer of its own: the RPC client has it, and sets the address",
    note = "a queue that another program declared: `.reply_to(ReplyName::new(\"answers\")?)`"
)]
pub trait ReplyTo: Sealed {
    #[doc(hidden)]
    fn into_name(self) -> ShortString;
}

impl<K: QueueKind> ReplyTo for &Queue<K> {
    fn into_name(self) -> ShortString {
        self.short_string()
    }
}

/// The name of a queue that another program declared, for answers. **An escape**: nothing proves
/// that it exists.
///
/// ```
/// use hopmq::{Message, ReplyName};
///
/// let question = Message::text("6 * 7").reply_to(ReplyName::new("answers")?);
/// assert!(ReplyName::new("amq.rabbitmq.reply-to").is_err());
/// # let _ = question;
/// # Ok::<(), hopmq::UsageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplyName(ShortString);

impl ReplyName {
    /// The name of a queue.
    ///
    /// # Errors
    /// [`UsageError`] when it is empty or over 255 bytes, or the address of direct reply-to: the
    /// broker refuses that where no reply consumer is (406 "fast reply consumer does not exist").
    pub fn new(name: impl AsRef<str>) -> Result<Self, UsageError> {
        let what = "reply-to";
        let name = ShortString::new(name.as_ref()).map_err(UsageError::too_long(what))?;
        match name.as_str() {
            "" => Err(UsageError::EmptyName { what }),
            "amq.rabbitmq.reply-to" => Err(UsageError::ReservedName { what, name }),
            _ => Ok(ReplyName(name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Sealed for ReplyName {}

impl ReplyTo for ReplyName {
    fn into_name(self) -> ShortString {
        self.0
    }
}
