//! Publishing many messages at once: with confirms, without, and in a transaction.

use std::{
    collections::VecDeque,
    error::Error as StdError,
    fmt,
    future::Future,
    iter::Fuse,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    capability::{InConfirmMode, InPlainMode, InTransactionMode},
    chan::{Chan, ChanInner, ChanState},
    confirms::Confirms,
    error::Error,
    exchange::{Exchange, RouteTo},
    handover::{Handover, Stopped, options},
    message::Message,
};

/// So many are handed over under one lock, then others have their turn.
const AT_ONCE: usize = 64;

/// After so many times the task gives way to others, however much room there is.
const TURNS: usize = 16;

impl<S: ChanState> Chan<S> {
    /// Publishes many messages, in order, to one exchange with one routing key: as
    /// [`publish`](Chan::publish) does each of them, for about half of what so many calls cost.
    ///
    /// Awaiting it hands them over, and waits as a publish does whenever there is no room, for each
    /// anew. It gives the [`Confirms`] of all. The iterator may give more than fits in memory: it
    /// is asked for a few messages at a time, and what is confirmed meanwhile is let go. To keep
    /// the window filled from one call to the next, [append](Confirms::append) the confirms to
    /// those that are still awaited.
    ///
    /// Dropped before it is ready, what was handed over is published, and nobody is told its
    /// outcome; the rest is not sent.
    ///
    /// # Errors
    /// [`PartlyPublished`] with all messages that are not published, when one was not handed over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// # let chan = conn.open_channel().await?.confirm_select().await?;
    /// use hopmq::{Exchange, Message};
    ///
    /// let orders = chan.declare(Exchange::topic("orders")).await?;
    /// let rows = ["first", "second", "third"];
    /// let messages = rows.into_iter().map(Message::text);
    /// let confirms = chan.publish_all(&orders, "order.imported", messages).await?;
    /// confirms.all().await.expect("every one is confirmed");
    /// # Ok(()) }
    /// ```
    pub fn publish_all<'a, X, R, M>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        messages: M,
    ) -> PublishAll<'a, M::IntoIter>
    where
        R: RouteTo<'a, X>,
        M: IntoIterator<Item: Into<Message>>,
        Self: InConfirmMode,
    {
        PublishAll::on(self.inner(), exchange, route, messages)
    }

    /// Publishes many messages that nobody vouches for, in order, to one exchange with one routing
    /// key: as [`publish_unconfirmed`](Chan::publish_unconfirmed) does each of them. It gives their
    /// number.
    ///
    /// Dropped before it is ready, what was handed over is sent, and the rest is not.
    ///
    /// # Errors
    /// [`PartlyPublished`] with all messages that were not handed over.
    pub fn publish_all_unconfirmed<'a, X, R, M>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        messages: M,
    ) -> PublishAllUnconfirmed<'a, M::IntoIter>
    where
        R: RouteTo<'a, X>,
        M: IntoIterator<Item: Into<Message>>,
        Self: InPlainMode,
    {
        PublishAllUnconfirmed::on(self.inner(), exchange, route, messages)
    }

    /// Publishes many messages that take effect with the next [`commit`](Chan::commit), in order,
    /// to one exchange with one routing key. It gives their number.
    ///
    /// Dropped before it is ready, what was handed over takes effect, and the rest is not sent.
    ///
    /// # Errors
    /// [`PartlyPublished`] with all messages that were not handed over.
    pub fn publish_all_in_tx<'a, X, R, M>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        messages: M,
    ) -> PublishAllUnconfirmed<'a, M::IntoIter>
    where
        R: RouteTo<'a, X>,
        M: IntoIterator<Item: Into<Message>>,
        Self: InTransactionMode,
    {
        PublishAllUnconfirmed::on(self.inner(), exchange, route, messages)
    }
}

/// Many messages that are being handed over on a confirming channel; see [`Chan::publish_all`].
///
/// Nothing is sent before the first poll.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct PublishAll<'a, I> {
    handover: Handover<'a>,
    untried: Option<Untried<I>>,
    handed_over: Confirms,
}

/// Many messages that are being handed over on a channel without confirms; see
/// [`Chan::publish_all_unconfirmed`].
///
/// Nothing is sent before the first poll.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct PublishAllUnconfirmed<'a, I> {
    handover: Handover<'a>,
    untried: Option<Untried<I>>,
    handed_over: u64,
}

options!(PublishAll<I>);
options!(PublishAllUnconfirmed<I>);

impl<'a, I: Iterator> PublishAll<'a, I> {
    pub(crate) fn on<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
        messages: impl IntoIterator<IntoIter = I>,
    ) -> Self {
        let handover = Handover::new(chan, exchange, route);
        PublishAll { handover, untried: Some(Untried::new(messages)), handed_over: Confirms::new() }
    }

    /// Publishes each of the messages at least once; see
    /// [`Publish::at_least_once`](crate::Publish::at_least_once).
    pub fn at_least_once(mut self) -> Self {
        self.handover.keep = true;
        self
    }
}

impl<'a, I: Iterator> PublishAllUnconfirmed<'a, I> {
    fn on<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
        messages: impl IntoIterator<IntoIter = I>,
    ) -> Self {
        let handover = Handover::new(chan, exchange, route);
        PublishAllUnconfirmed { handover, untried: Some(Untried::new(messages)), handed_over: 0 }
    }
}

// The iterator is never pinned.
impl<I> Unpin for PublishAll<'_, I> {}
impl<I> Unpin for PublishAllUnconfirmed<'_, I> {}

impl<I> Future for PublishAll<'_, I>
where
    I: Iterator<Item: Into<Message>>,
{
    type Output = Result<Confirms, PartlyPublished<Confirms, I>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let PublishAll { handover, untried, handed_over } = &mut *self;
        poll_all(handover, untried, handed_over, cx)
    }
}

impl<I> Future for PublishAllUnconfirmed<'_, I>
where
    I: Iterator<Item: Into<Message>>,
{
    type Output = Result<u64, PartlyPublished<u64, I>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let PublishAllUnconfirmed { handover, untried, handed_over } = &mut *self;
        poll_all(handover, untried, handed_over, cx)
    }
}

/// What is left of messages that were handed over.
trait Account: Default {
    const CONFIRMING: bool;

    /// The first `count` of the messages were handed over, under tags from `first` on.
    fn book(
        &mut self,
        chan: &Arc<ChanInner>,
        first: u64,
        count: usize,
        messages: &mut VecDeque<Message>,
    );
}

impl Account for Confirms {
    const CONFIRMING: bool = true;

    fn book(
        &mut self,
        chan: &Arc<ChanInner>,
        first: u64,
        count: usize,
        messages: &mut VecDeque<Message>,
    ) {
        self.push_run(chan, first, count, messages);
    }
}

impl Account for u64 {
    const CONFIRMING: bool = false;

    fn book(
        &mut self,
        _chan: &Arc<ChanInner>,
        _first: u64,
        count: usize,
        messages: &mut VecDeque<Message>,
    ) {
        messages.drain(..count);
        *self += count as u64;
    }
}

fn poll_all<A, I>(
    handover: &mut Handover<'_>,
    untried: &mut Option<Untried<I>>,
    handed_over: &mut A,
    cx: &mut Context<'_>,
) -> Poll<Result<A, PartlyPublished<A, I>>>
where
    A: Account,
    I: Iterator<Item: Into<Message>>,
{
    for _ in 0..TURNS {
        let Some(messages) = untried else { return Poll::Pending };
        // Outside of the lock: the iterator is the user's, and may do whatever it likes.
        messages.take_up(AT_ONCE, handover.keep && A::CONFIRMING);
        if messages.taken.is_empty() {
            *untried = None;
            return Poll::Ready(Ok(mem::take(handed_over)));
        }
        let stopped = match handover.hand_over(messages.taken.iter(), A::CONFIRMING, cx) {
            Ok(handed) => {
                if handed.count > 0 {
                    let taken = &mut messages.taken;
                    handed_over.book(handover.chan, handed.first, handed.count, taken);
                }
                match handed.stopped {
                    None => continue,
                    Some(Stopped::Waits) => ready!(handover.poll_wait(cx)),
                    Some(Stopped::Misused(error)) => error.into(),
                    Some(Stopped::Refused(error)) => handover.chan.handle.error(error),
                }
            }
            Err(error) => error,
        };
        let failed = messages.taken.pop_front().unwrap_or_default();
        let Some(untried) = untried.take() else { return Poll::Pending };
        let parts = Box::new(Parts { handed_over: mem::take(handed_over), failed, untried });
        return Poll::Ready(Err(PartlyPublished { error: stopped, parts }));
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Of many messages one was not handed over, and those behind it were not tried.
///
/// No message is lost: what was handed over has its [`Confirms`] (its number, on a channel without
/// confirms), and all others are here. `?` turns it into its [`Error`]; in a function whose error is
/// a `Box<dyn Error>`, the iterator must own what it gives for that.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
/// # let chan = conn.open_channel().await?.confirm_select().await?;
/// # let news = chan.declare(hopmq::Exchange::fanout("news")).await?;
/// use hopmq::Message;
///
/// let bad = Message::text("bad").content_type("x".repeat(256));
/// let messages = [Message::text("good"), bad, Message::text("late")];
/// let partly = chan.publish_all(&news, (), messages).await.expect_err("256 bytes are too long");
/// let (error, handed_over, failed, untried) = partly.into_parts();
/// println!("{error}: {failed:?}");
/// handed_over.all().await.expect("the first is confirmed");
/// chan.publish_all(&news, (), untried).await?.all().await.expect("the last is confirmed");
/// # Ok(()) }
/// ```
pub struct PartlyPublished<H, I> {
    error: Error,
    parts: Box<Parts<H, I>>,
}

struct Parts<H, I> {
    handed_over: H,
    failed: Message,
    untried: Untried<I>,
}

impl<H, I> PartlyPublished<H, I> {
    /// Why the first that was not handed over was not.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What was handed over before: its confirms, or its number where there are none.
    pub fn handed_over(&self) -> &H {
        &self.parts.handed_over
    }

    /// The error, what was handed over, the message that was not, and those that were not tried.
    pub fn into_parts(self) -> (Error, H, Message, Untried<I>) {
        let Parts { handed_over, failed, untried } = *self.parts;
        (self.error, handed_over, failed, untried)
    }
}

impl<H, I> fmt::Display for PartlyPublished<H, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<H: fmt::Debug, I> fmt::Debug for PartlyPublished<H, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartlyPublished")
            .field("error", &self.error)
            .field("handed_over", &self.parts.handed_over)
            .field("failed", &self.parts.failed)
            .finish_non_exhaustive()
    }
}

impl<H: fmt::Debug, I> StdError for PartlyPublished<H, I> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl<H, I> From<PartlyPublished<H, I>> for Error {
    fn from(partly: PartlyPublished<H, I>) -> Self {
        partly.error
    }
}

/// Messages that were not tried, in order; see [`PartlyPublished`].
pub struct Untried<I> {
    /// Taken from the iterator.
    taken: VecDeque<Message>,
    rest: Fuse<I>,
}

impl<I: Iterator> Untried<I> {
    fn new(messages: impl IntoIterator<IntoIter = I>) -> Self {
        Untried { taken: VecDeque::new(), rest: messages.into_iter().fuse() }
    }

    /// Takes messages until it has so many, each with an id where they are to have one.
    fn take_up(&mut self, count: usize, with_id: bool)
    where
        I::Item: Into<Message>,
    {
        let rest = self.rest.by_ref().take(count.saturating_sub(self.taken.len()));
        match with_id {
            false => self.taken.extend(rest.map(Into::into)),
            true => self.taken.extend(rest.map(|message| message.into().with_some_id())),
        }
    }
}

impl<I> Iterator for Untried<I>
where
    I: Iterator<Item: Into<Message>>,
{
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.taken.pop_front().or_else(|| self.rest.next().map(Into::into))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (taken, (least, most)) = (self.taken.len(), self.rest.size_hint());
        (least.saturating_add(taken), most.and_then(|most| most.checked_add(taken)))
    }
}

impl<I> fmt::Debug for Untried<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Untried").field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}
