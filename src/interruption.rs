//! Interruptions of a consumer, made visible beside its deliveries.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;

use crate::{
    consumer::Next,
    driver::Shared,
    error::{ConsumeError, Error},
    proto::{self, ConsumerKey, WaiterId},
    wire::ShortString,
};

pub use crate::proto::Missed;

/// A consumer did not get deliveries for a while, and gets them again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Interruption {
    /// What interrupted it: [`ConsumeError::Ended`] with the cause when the connection was lost or
    /// the queue could not be declared again, [`ConsumeError::CancelledByBroker`] when the broker
    /// cancelled it.
    pub cause: ConsumeError,
    /// From then until the broker served it again.
    pub lasted: Duration,
    /// What it may have missed.
    pub missed: Missed,
}

impl Interruption {
    /// Whether messages may have been missed, of which no delivery will tell.
    pub fn may_have_missed(&self) -> bool {
        self.missed != Missed::Nothing
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missed = match self.missed {
            Missed::Nothing => "nothing was missed",
            Missed::InFlight => "what was on its way may be lost",
            Missed::Offset => "what was published meanwhile may be skipped",
            _ => "the queue and what was in it may be lost",
        };
        write!(f, "interrupted for {:?}: {}; {missed}", self.lasted, self.cause)
    }
}

/// The interruptions of a consumer; see [`Consumer::interruptions`](crate::Consumer::interruptions).
#[must_use = "streams do nothing unless polled"]
pub struct Interruptions {
    shared: Arc<Shared>,
    key: ConsumerKey,
    queue: ShortString,
    cursor: u64,
    waiter: Option<WaiterId>,
}

impl Interruptions {
    pub(crate) fn new(shared: Arc<Shared>, key: ConsumerKey, queue: ShortString) -> Self {
        Interruptions { shared, key, queue, cursor: 0, waiter: None }
    }

    /// The next interruption; `None` when the consumer has ended. Dropping the future loses nothing.
    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }

    fn seen(&self, noted: proto::Interruption) -> Interruption {
        let proto::Interruption { by, lasted, missed } = noted;
        let cause = ConsumeError::from_end(by, &self.queue, || self.shared.last_error());
        let cause = cause.unwrap_or_else(|| ConsumeError::Ended(Box::new(Error::Closed)));
        Interruption { cause, lasted, missed }
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        self.shared.forget(self.waiter);
    }
}

impl Stream for Interruptions {
    type Item = Interruption;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Interruption>> {
        let Interruptions { shared, key, cursor, waiter, .. } = &mut *self;
        let polled = shared.poll_interruption(*key, cursor, waiter, cx);
        polled.map(|next| next.map(|noted| self.seen(noted)))
    }
}

impl fmt::Debug for Interruptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interruptions").field("queue", &self.queue).finish_non_exhaustive()
    }
}
