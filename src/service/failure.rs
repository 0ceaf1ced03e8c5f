//! How processing ends, and what processes.

use std::{fmt, future::Future};

use super::{codec::BoxError, message::Message};

/// How the processing of a message ended.
pub type Outcome = Result<(), Failure>;

/// Why a message was not processed, and whether it makes sense to try again.
///
/// Any error becomes one by `?`, to be tried again; [`Failure::permanent`] says that it would fail
/// the same way every time.
///
/// ```
/// use hopmq::service::Failure;
///
/// fn charge(cents: i64) -> Result<(), Failure> {
///     if cents < 0 {
///         return Err(Failure::permanent("a negative amount"));
///     }
///     std::fs::read("rates.json")?; // may be there next time
///     Ok(())
/// }
/// assert!(charge(-1).unwrap_err().is_permanent());
/// assert!(!charge(1).unwrap_err().is_permanent());
/// ```
#[derive(Debug)]
pub struct Failure {
    cause: BoxError,
    permanent: bool,
}

impl Failure {
    /// A failure that may not be one the next time.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Failure { cause: cause.into(), permanent: false }
    }

    /// A failure that trying again does not mend: the message is parked, or dead-lettered, at once.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Failure { cause: cause.into(), permanent: true }
    }

    /// Whether trying again makes no sense.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// Why.
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl fmt::Display for Failure {
    /// The cause, and what caused that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let mut source = self.cause.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

// Not an error itself, so that every error can become one by `?`.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::retry(error)
    }
}

/// What the handler did not come to an end of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfinished {
    /// It panicked.
    #[error("the handler panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// Its deadline came first.
    #[error("the handler took longer than {after:?}")]
    Overdue {
        /// The deadline.
        after: std::time::Duration,
    },
}

/// What processes messages with payloads of the type `T`: an async function, or a type of one's own.
///
/// ```
/// use hopmq::service::{Failure, Handler, Message};
///
/// async fn ship(order: Message<String>) -> Result<(), Failure> {
///     println!("shipping {}", order.payload);
///     Ok(())
/// }
///
/// fn is_a_handler(_: impl Handler<String>) {}
/// is_a_handler(ship);
/// is_a_handler(|order: Message<String>| async move { order.payload.parse::<u64>().map(drop) });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not process messages with a `{T}`",
    label = "not a handler",
    note = "a handler is `async fn handle(message: Message<{T}>) -> Result<(), E>` where `E` is an error or a `Failure`, or a type that implements `Handler<{T}>`"
)]
pub trait Handler<T>: Send + Sync + 'static {
    /// Processes one message. It runs as a task of its own; what it says settles the message.
    fn handle(&self, message: Message<T>) -> impl Future<Output = Outcome> + Send;
}

impl<T, F, R, E> Handler<T> for F
where
    T: Send + 'static,
    F: Fn(Message<T>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send,
    E: Into<Failure>,
{
    async fn handle(&self, message: Message<T>) -> Outcome {
        self(message).await.map_err(Into::into)
    }
}
