//! Publishing: with confirms, without, and in a transaction.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    capability::{HasReturns, InConfirmMode, InPlainMode, InTransactionMode},
    chan::{Chan, ChanInner, ChanState},
    confirm::Confirm,
    consumer::Next,
    error::Failed,
    exchange::{Exchange, RouteTo},
    handover::{Handover, options},
    message::{Message, Received},
    proto::{Marks, WaiterId},
    wire::ReplyCode,
};

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc` (see `capability`).
impl<S: ChanState> Chan<S> {
    /// Publishes a message whose outcome the broker tells.
    ///
    /// Awaiting it hands the message over: it waits while the window of unconfirmed messages is
    /// full, or while the broker has blocked publishers. It gives a [`Confirm`], the future of the
    /// outcome. Await confirms later, in batches, to keep the window filled.
    ///
    /// What a publish takes depends on the exchange: a routing key (direct, topic), or `()`
    /// (fanout, headers). Without [`mandatory`](Publish::mandatory), a message that no queue takes
    /// is dropped by the broker and *confirmed*.
    ///
    /// # Errors
    /// [`Failed`] with the message, when it was not handed over.
    #[rustfmt::skip]
    pub fn publish<'a, X, R>( // takes what `chan.declare(Exchange::topic("orders")).await?` gives
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>, // bytes as they are; of a string: `Message::text("..")`
    ) -> Publish<'a>
    where
        R: RouteTo<'a, X>,
        Self: InConfirmMode,
    {
        Publish::on(self.inner(), exchange, route, message.into())
    }

    /// Publishes a message that nobody vouches for: it may be lost, and nobody will tell.
    ///
    /// The verb is long so that nobody writes it by accident; see [`Chan::confirm_select`].
    ///
    /// # Errors
    /// [`Failed`] with the message, when it was not handed over.
    pub fn publish_unconfirmed<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>, // bytes as they are; of a string: `Message::text("..")`
    ) -> PublishUnconfirmed<'a>
    where
        R: RouteTo<'a, X>,
        Self: InPlainMode,
    {
        let handover = Handover::new(self.inner(), exchange, route);
        PublishUnconfirmed { handover, message: Some(message.into()) }
    }

    /// Publishes a message that takes effect with the next [`commit`](Chan::commit).
    ///
    /// # Errors
    /// [`Failed`] with the message, when it was not handed over.
    pub fn publish_in_tx<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>, // bytes as they are; of a string: `Message::text("..")`
    ) -> PublishUnconfirmed<'a>
    where
        R: RouteTo<'a, X>,
        Self: InTransactionMode,
    {
        let handover = Handover::new(self.inner(), exchange, route);
        PublishUnconfirmed { handover, message: Some(message.into()) }
    }
}

/// A message that is being handed over on a confirming channel.
///
/// Nothing is sent before the first poll. Dropped before it is ready, the message was not sent.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct Publish<'a> {
    handover: Handover<'a>,
    message: Option<Message>,
}

/// A message that is being handed over on a channel without confirms.
///
/// Nothing is sent before the first poll. Dropped before it is ready, the message was not sent.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct PublishUnconfirmed<'a> {
    handover: Handover<'a>,
    message: Option<Message>,
}

impl<'a> Publish<'a> {
    pub(crate) fn on<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
        message: Message,
    ) -> Self {
        Publish { handover: Handover::new(chan, exchange, route), message: Some(message) }
    }
}

options!(Publish);
options!(PublishUnconfirmed);

impl Publish<'_> {
    /// The routing key that it goes out with; `None` when that is not one.
    pub fn routing_key(&self) -> Option<&str> {
        self.handover.routing_key()
    }

    /// Publishes the message again after a lost connection, in order and in front of new ones, until
    /// the broker has answered: its [`Confirm`] is then *unknown* only when the connection ends for
    /// good. It may arrive more than once, each time with the same message id; one without gets one.
    ///
    /// While the connection is lost it is taken at once, and waits in order for the connection. What
    /// is kept counts into the window of unconfirmed messages
    /// ([`Limits::window_messages`](crate::Limits::window_messages), and in bytes), which therefore
    /// bounds it: when that is full, publishing waits.
    ///
    /// For all messages of a publisher: [`Publisher::at_least_once`](crate::Publisher::at_least_once).
    pub fn at_least_once(mut self) -> Self {
        self.handover.keep = true;
        self.message = self.message.map(Message::with_some_id);
        self
    }
}

impl Future for Publish<'_> {
    type Output = Result<Confirm, Failed<Message>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Publish { handover, message } = &mut *self;
        let Some(whole) = message else { return Poll::Pending };
        let tag = ready!(handover.poll(whole, true, cx));
        let message = message.take().unwrap_or_default();
        Poll::Ready(match tag {
            Ok(tag) => Ok(Confirm::new(handover.chan.clone(), tag, message)),
            Err(error) => Err(Failed::new(error, message)),
        })
    }
}

impl Future for PublishUnconfirmed<'_> {
    type Output = Result<(), Failed<Message>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let PublishUnconfirmed { handover, message } = &mut *self;
        let Some(whole) = message else { return Poll::Pending };
        let handed_over = ready!(handover.poll(whole, false, cx));
        let message = message.take();
        Poll::Ready(match handed_over {
            Ok(_) => Ok(()),
            Err(error) => Err(Failed::new(error, message.unwrap_or_default())),
        })
    }
}

impl<S: ChanState> Chan<S> {
    /// Mandatory messages that no queue took, of this channel without confirms, as a stream. Nobody
    /// has to listen: at most [`Limits::events`](crate::Limits::events) wait, then the oldest go.
    ///
    /// In a transaction they come back when it commits. On a confirming channel a return is the
    /// outcome of its own publish; see [`Confirm`].
    pub fn returns(&self) -> Returns
    where
        Self: HasReturns,
    {
        Returns { chan: self.inner().clone(), waiter: None }
    }
}

/// Messages that came back; see [`Chan::returns`].
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct Returns {
    chan: Arc<ChanInner>,
    waiter: Option<WaiterId>,
}

/// A message that came back: mandatory, and no queue took it.
#[derive(Debug)]
pub struct Returned {
    /// The reply code, 312 for "no route".
    pub code: ReplyCode,
    /// The broker's text.
    pub text: Arc<str>,
    /// The message.
    pub message: Received,
}

impl Returns {
    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    /// The next message; `None` when the channel has ended. Dropping the future loses nothing.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        self.chan.handle.forget(self.waiter);
    }
}

impl Stream for Returns {
    type Item = Returned;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Returned>> {
        let this = &mut *self;
        let polled = this.chan.handle.poll_returned(this.chan.key, &mut this.waiter, cx);
        polled.map(|returned| {
            returned.map(|returned| Returned {
                code: returned.code,
                text: returned.text,
                message: Received::from_content(
                    returned.content,
                    Marks::Plain,
                    this.chan.handle.config().limits.table(),
                ),
            })
        })
    }
}
