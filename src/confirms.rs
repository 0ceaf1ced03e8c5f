//! The outcomes of many publishes.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    chan::ChanInner,
    confirm::{self, Confirm, ConfirmError},
    consumer::Next,
    message::Message,
    proto::WaiterId,
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
    pieces: VecDeque<Piece>,
    /// Of all pieces together.
    len: usize,
}

#[derive(Debug)]
enum Piece {
    One(Confirm),
    Run(Run),
}

impl Confirms {
    /// None yet.
    pub fn new() -> Self {
        Confirms::default()
    }

    /// Adds one.
    pub fn push(&mut self, confirm: Confirm) {
        self.pieces.push_back(Piece::One(confirm));
        self.len += 1;
    }

    /// Adds those of others behind its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// # let chan = conn.open_channel().await?.confirm_select().await?;
    /// # let news = chan.declare(hopmq::Exchange::fanout("news")).await?;
    /// # let log: Vec<[u8; 1]> = (0..200).map(|number| [number]).collect();
    /// use hopmq::Confirms;
    ///
    /// let mut confirms = Confirms::new();
    /// for chunk in log.chunks(50) {
    ///     confirms.append(chan.publish_all(&news, (), chunk.to_vec()).await?);
    ///     while confirms.len() > 100 {
    ///         confirms.next().await.expect("there are more")?; // of what came long before
    ///     }
    /// }
    /// confirms.all().await.expect("the last hundred");
    /// # Ok(()) }
    /// ```
    pub fn append(&mut self, mut others: Confirms) {
        self.pieces.append(&mut others.pieces);
        self.len += others.len;
    }

    /// Adds those of publishes on one channel, under tags from `first` on: the first `count` of the
    /// messages.
    pub(crate) fn push_run(
        &mut self,
        chan: &Arc<ChanInner>,
        first: u64,
        count: usize,
        messages: &mut VecDeque<Message>,
    ) {
        self.len += count;
        let run = match self.pieces.back_mut() {
            Some(Piece::Run(run)) if Arc::ptr_eq(&run.chan, chan) => run,
            _ => {
                self.pieces.push_back(Piece::Run(Run::on(chan.clone())));
                let Some(Piece::Run(run)) = self.pieces.back_mut() else { return };
                run
            }
        };
        run.push(first, count, messages);
    }

    /// How many outcomes were not taken yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all outcomes were taken.
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
        let Confirms { pieces, len } = &mut *self;
        let Some(first) = pieces.front_mut() else { return Poll::Ready(None) };
        let (outcome, is_over) = match first {
            Piece::One(confirm) => (ready!(Pin::new(confirm).poll(cx)), true),
            Piece::Run(run) => (ready!(run.poll_next(cx)), run.is_empty()),
        };
        if is_over {
            pieces.pop_front();
        }
        *len -= 1;
        Poll::Ready(Some(outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl FromIterator<Confirm> for Confirms {
    fn from_iter<I: IntoIterator<Item = Confirm>>(confirms: I) -> Self {
        let pieces: VecDeque<_> = confirms.into_iter().map(Piece::One).collect();
        Confirms { len: pieces.len(), pieces }
    }
}

impl Extend<Confirm> for Confirms {
    fn extend<I: IntoIterator<Item = Confirm>>(&mut self, confirms: I) {
        confirms.into_iter().for_each(|confirm| self.push(confirm));
    }
}

/// Publishes of one channel that were handed over together: one reference to it for all.
struct Run {
    chan: Arc<ChanInner>,
    /// The first so many are confirmed, and their messages let go.
    confirmed: usize,
    /// The tags of the others: in one piece, unless other publishes came between.
    tags: VecDeque<Range<u64>>,
    messages: VecDeque<Message>,
    /// Waits for the first tag.
    waiter: Option<WaiterId>,
}

impl Run {
    fn on(chan: Arc<ChanInner>) -> Self {
        let (tags, messages) = (VecDeque::with_capacity(1), VecDeque::new());
        Run { chan, confirmed: 0, tags, messages, waiter: None }
    }

    fn is_empty(&self) -> bool {
        self.confirmed == 0 && self.messages.is_empty()
    }

    fn push(&mut self, first: u64, count: usize, messages: &mut VecDeque<Message>) {
        // What is confirmed by now need not be remembered, however many messages follow.
        self.let_go();
        let tags = first..first + count as u64;
        match self.tags.back_mut() {
            Some(last) if last.end == first => last.end = tags.end,
            _ => self.tags.push_back(tags),
        }
        match count == messages.len() {
            true => self.messages.append(messages),
            false => self.messages.extend(messages.drain(..count)),
        }
    }

    /// Lets go of the messages that are known to be confirmed.
    fn let_go(&mut self) {
        let below = self.chan.confirmed_below.load(Ordering::Relaxed);
        while let Some(tags) = self.tags.front_mut() {
            let confirmed = below.min(tags.end).saturating_sub(tags.start);
            tags.start += confirmed;
            self.confirmed += confirmed as usize;
            self.messages.drain(..confirmed as usize);
            if !tags.is_empty() {
                break;
            }
            self.tags.pop_front();
        }
    }

    /// The outcome of the first.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConfirmError>> {
        if self.confirmed == 0 {
            self.let_go();
        }
        if self.confirmed > 0 {
            self.confirmed -= 1;
            return Poll::Ready(Ok(()));
        }
        let Some(tags) = self.tags.front_mut() else { return Poll::Pending };
        let ChanInner { handle, key, confirmed_below } = &*self.chan;
        let polled = handle.poll_confirm(*key, tags.start, confirmed_below, &mut self.waiter, cx);
        let outcome = ready!(polled);
        tags.start += 1;
        if tags.is_empty() {
            self.tags.pop_front();
        }
        let message = self.messages.pop_front().unwrap_or_default();
        Poll::Ready(confirm::told(handle, outcome, message))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.chan.handle.forget(self.waiter);
        if !self.tags.is_empty() {
            let (key, tags) = (self.chan.key, &mut self.tags);
            self.chan.handle.with(|state| {
                tags.drain(..).for_each(|tags| state.connection.abandon_confirms(key, tags));
            });
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("confirmed", &self.confirmed)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
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
