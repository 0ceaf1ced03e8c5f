//! The outcome of a publish.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use crate::{
    chan::ChanInner,
    error::{Error, Unconfirmed},
    handle::Handle,
    message::Message,
    proto::{Outcome, WaiterId},
};

/// The future outcome of one publish: `Ok` only when the broker has confirmed it.
///
/// Dropped, the message is still published; nobody is told its outcome. It is ready at the latest
/// when its deadline ([`Config::call_timeout`](crate::Config::call_timeout)) or the connection ends.
///
/// # Errors
/// [`ConfirmError`], which gives the message back.
#[must_use = "without awaiting it, nobody knows whether the message arrived"]
pub struct Confirm {
    chan: Arc<ChanInner>,
    tag: u64,
    message: Option<Message>,
    waiter: Option<WaiterId>,
}

impl Confirm {
    pub(crate) fn new(chan: Arc<ChanInner>, tag: u64, message: Message) -> Self {
        Confirm { chan, tag, message: Some(message), waiter: None }
    }
}

impl Future for Confirm {
    type Output = Result<(), ConfirmError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.message.is_none() {
            return Poll::Pending;
        }
        let ChanInner { handle, key, confirmed_below } = &*this.chan;
        if this.tag < confirmed_below.load(Ordering::Relaxed) {
            this.message = None;
            return Poll::Ready(Ok(()));
        }
        let polled = handle.poll_confirm(*key, this.tag, confirmed_below, &mut this.waiter, cx);
        let outcome = ready!(polled);
        let message = this.message.take().unwrap_or_default();
        Poll::Ready(told(handle, outcome, message))
    }
}

/// The protocol's outcome in the user's words.
#[inline]
pub(crate) fn told(
    handle: &Handle,
    outcome: Outcome,
    message: Message,
) -> Result<(), ConfirmError> {
    let reason = match outcome {
        Outcome::Confirmed => return Ok(()),
        Outcome::Returned { code, text } => Unconfirmed::Returned { code, text },
        Outcome::Nacked => Unconfirmed::Nacked,
        Outcome::Unknown(cause) => {
            Unconfirmed::Unknown(Error::from_cause(&cause, handle.last_error()))
        }
        Outcome::Overdue => Unconfirmed::Unknown(Error::Timeout {
            operation: "basic.publish",
            after: handle.call_timeout(),
        }),
    };
    Err(ConfirmError { reason, message: Box::new(message) })
}

impl Drop for Confirm {
    fn drop(&mut self) {
        if self.message.is_some() {
            let (key, tag) = (self.chan.key, self.tag);
            self.chan.handle.forget(self.waiter);
            self.chan.handle.with(|state| state.connection.abandon_confirms(key, tag..tag + 1));
        }
    }
}

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirm").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// A publish that was not confirmed, with its message.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ConfirmError {
    #[source]
    reason: Unconfirmed,
    message: Box<Message>,
}

impl From<ConfirmError> for Error {
    /// Keeps the reason and drops the message.
    fn from(error: ConfirmError) -> Self {
        Error::Unconfirmed(Box::new(error.reason))
    }
}

impl ConfirmError {
    /// Why it was not confirmed.
    pub fn reason(&self) -> &Unconfirmed {
        &self.reason
    }

    /// The reason and the message, to publish it again.
    pub fn into_parts(self) -> (Unconfirmed, Message) {
        (self.reason, *self.message)
    }
}
