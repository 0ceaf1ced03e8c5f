//! The outcomes of many publishes.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    confirm::{Confirm, ConfirmError},
    consumer::Next,
};

/// Many [`Confirm`]s: a stream of their outcomes in the order in which they were pushed, or one
/// future of [all](Confirms::all).
///
/// What waits for its confirm is bounded by the publish window of its channel
/// ([`Limits`](crate::Limits)): publishing waits while that is full.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// # let conn = hopmq::Conn::new(uri.parse::<hopmq::Uri>()?).connect().await?;
/// # let chan = conn.open_channel().await?.confirm_select().await?;
/// use hopmq::{Confirms, Exchange};
///
/// let news = chan.declare(Exchange::fanout("news")).await?;
/// let mut confirms = Confirms::new();
/// for number in 0..100u8 {
///     confirms.push(chan.publish(&news, (), [number]).await?);
/// }
/// assert!(matches!(confirms.next().await, Some(Ok(())))); // the first
/// confirms.all().await.expect("all others"); // else those that were not, with their messages
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use = "without awaiting them, nobody knows whether the messages arrived"]
pub struct Confirms {
    confirms: VecDeque<Confirm>,
}

impl Confirms {
    /// None yet.
    pub fn new() -> Self {
        Confirms::default()
    }

    /// Adds one.
    pub fn push(&mut self, confirm: Confirm) {
        self.confirms.push_back(confirm);
    }

    /// How many outcomes were not taken yet.
    pub fn len(&self) -> usize {
        self.confirms.len()
    }

    /// Whether all outcomes were taken.
    pub fn is_empty(&self) -> bool {
        self.confirms.is_empty()
    }

    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    /// The next outcome; `None` when there is none to wait for. Dropping the future loses nothing.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }

    /// Waits for all.
    ///
    /// # Errors
    /// Those that were not confirmed, with their messages, in the order in which they were pushed.
    pub fn all(self) -> AllConfirms {
        AllConfirms { confirms: self, unconfirmed: Vec::new(), over: false }
    }
}

impl Stream for Confirms {
    type Item = Result<(), ConfirmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Only the first is waited for: whatever comes behind it keeps its outcome until asked.
        let Some(first) = self.confirms.front_mut() else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(first).poll(cx));
        self.confirms.pop_front();
        Poll::Ready(Some(outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl FromIterator<Confirm> for Confirms {
    fn from_iter<I: IntoIterator<Item = Confirm>>(confirms: I) -> Self {
        Confirms { confirms: confirms.into_iter().collect() }
    }
}

impl Extend<Confirm> for Confirms {
    fn extend<I: IntoIterator<Item = Confirm>>(&mut self, confirms: I) {
        self.confirms.extend(confirms);
    }
}

/// Waits for many confirms; see [`Confirms::all`].
#[must_use = "without awaiting them, nobody knows whether the messages arrived"]
#[derive(Debug)]
pub struct AllConfirms {
    confirms: Confirms,
    unconfirmed: Vec<ConfirmError>,
    over: bool,
}

impl Future for AllConfirms {
    type Output = Result<(), Vec<ConfirmError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.over {
            return Poll::Pending;
        }
        while let Some(outcome) = ready!(Pin::new(&mut this.confirms).poll_next(cx)) {
            this.unconfirmed.extend(outcome.err());
        }
        this.over = true;
        let unconfirmed = std::mem::take(&mut this.unconfirmed);
        Poll::Ready(if unconfirmed.is_empty() { Ok(()) } else { Err(unconfirmed) })
    }
}
