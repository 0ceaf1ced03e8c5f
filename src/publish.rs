//! Publishing: with confirms, without, and in a transaction.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use crate::{
    capability::{HasReturns, InConfirmMode, InPlainMode, InTransactionMode},
    chan::{Chan, ChanInner, ChanState},
    config::Hold,
    confirm::Confirm,
    consumer::Next,
    error::{Error, Failed},
    exchange::{Exchange, RouteTo, RoutingKey},
    message::{EncodedProperties, Message, Received},
    proto::{Accepted, Outgoing, WaiterId},
    usage::UsageError,
    wire::{ReplyCode, ShortStr},
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
        let handover = Handover::new(self.inner(), exchange, route, message.into());
        PublishUnconfirmed { handover }
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
        let handover = Handover::new(self.inner(), exchange, route, message.into());
        PublishUnconfirmed { handover }
    }
}

/// A message that is being handed over on a confirming channel.
///
/// Nothing is sent before the first poll. Dropped before it is ready, the message was not sent.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct Publish<'a> {
    handover: Handover<'a>,
}

/// A message that is being handed over on a channel without confirms.
///
/// Nothing is sent before the first poll. Dropped before it is ready, the message was not sent.
#[must_use = "nothing is published until this is awaited"]
#[derive(Debug)]
pub struct PublishUnconfirmed<'a> {
    handover: Handover<'a>,
}

impl<'a> Publish<'a> {
    pub(crate) fn on<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
        message: Message,
    ) -> Self {
        Publish { handover: Handover::new(chan, exchange, route, message) }
    }
}

macro_rules! options {
    ($name:ident) => {
        impl $name<'_> {
            /// The broker sends the message back when no queue takes it (1.8.3.3).
            pub fn mandatory(mut self) -> Self {
                self.handover.mandatory = true;
                self
            }

            /// Waits this long for room, instead of the configured time.
            pub fn within(mut self, deadline: Duration) -> Self {
                self.handover.waiting.get_or_insert_default().within = Some(deadline);
                self
            }

            /// What it does when the connection is being recovered, instead of what is
            /// [configured](crate::Config::while_recovering): waits for it, or fails at once.
            pub fn while_recovering(mut self, hold: Hold) -> Self {
                self.handover.waiting.get_or_insert_default().hold = Some(hold);
                self
            }
        }
    };
}

options!(Publish);
options!(PublishUnconfirmed);

impl Publish<'_> {
    /// The routing key that it goes out with; `None` when that is not one.
    pub fn routing_key(&self) -> Option<&str> {
        self.handover.route.as_ref().ok()?.as_short().to_str().ok()
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
        if let Some(message) = self.handover.message.take() {
            self.handover.message = Some(message.with_some_id());
        }
        self
    }
}

impl Future for Publish<'_> {
    type Output = Result<Confirm, Failed<Message>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handover = &mut self.handover;
        let tag = ready!(handover.poll(cx, true));
        let message = handover.message.take().unwrap_or_default();
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
        let handover = &mut self.handover;
        let handed_over = ready!(handover.poll(cx, false));
        let message = handover.message.take();
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
                    false,
                    this.chan.handle.config().limits.table(),
                ),
            })
        })
    }
}

/// A message on its way into the outbound batch. Small, for it is moved about on the way: what only
/// few need is kept apart.
struct Handover<'a> {
    chan: &'a Arc<ChanInner>,
    exchange: ShortStr<'a>,
    route: Result<RoutingKey<'a>, Box<UsageError>>,
    message: Option<Message>,
    mandatory: bool,
    keep: bool,
    waiter: Option<WaiterId>,
    waiting: Option<Box<Waiting>>,
}

/// What belongs to a message that has to wait.
#[derive(Default)]
struct Waiting {
    /// How long it may, where that is not the configured time.
    within: Option<Duration>,
    /// Whether it waits for a recovery, where that is not as configured.
    hold: Option<Hold>,
    /// Encoded once, however often it is polled.
    encoded: Option<EncodedProperties>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<'a> Handover<'a> {
    #[inline]
    fn new<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
        message: Message,
    ) -> Self {
        let realm = chan.realm();
        let route = exchange.check(realm).and_then(|()| route.into_key(realm));
        Handover {
            exchange: exchange.short(),
            route: route.map_err(Box::new),
            message: Some(message),
            mandatory: false,
            keep: false,
            waiter: None,
            waiting: None,
            chan,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, confirming: bool) -> Poll<Result<u64, Error>> {
        let Some(message) = &self.message else { return Poll::Pending };
        let key = match &mut self.route {
            Ok(key) => {
                key.refresh();
                key.as_short()
            }
            Err(error) => return Poll::Ready(Err(UsageError::clone(error).into())),
        };
        let (handle, with_sequence) = (&self.chan.handle, self.mandatory && confirming);
        let first;
        let waited = self.waiting.as_ref().and_then(|waiting| waiting.encoded.as_ref());
        let (properties, sequence_at) = match (waited, message.frequent(with_sequence)) {
            (Some(encoded), _) => encoded.parts(),
            (None, Some(frequent)) => frequent,
            (None, None) => {
                first = message.encoded(with_sequence)?;
                first.parts()
            }
        };
        if !handle.surely_fits(message.body().len(), properties.len()) {
            handle.check_size(message.body().len(), properties.len())?;
        }
        let outgoing = Outgoing {
            exchange: self.exchange,
            routing_key: key,
            mandatory: self.mandatory,
            properties,
            sequence_at,
            body: message.body().segments(),
            keep: self.keep && confirming,
        };
        match handle.poll_publish(self.chan.key, &outgoing, &mut self.waiter, cx) {
            Ok(Accepted::Yes { tag }) => Poll::Ready(Ok(tag)),
            Ok(Accepted::Wait) => self.poll_wait(with_sequence, cx),
            Err(error) => Poll::Ready(Err(handle.error(error))),
        }
    }

    #[cold]
    fn poll_wait(&mut self, with_sequence: bool, cx: &mut Context<'_>) -> Poll<Result<u64, Error>> {
        let handle = &self.chan.handle;
        if handle.config().while_blocked == Hold::FailFast
            && let Some(reason) = handle.look(|connection| connection.blocked().cloned())
        {
            return Poll::Ready(Err(Error::Blocked { reason }));
        }
        let hold = self.waiting.as_ref().and_then(|waiting| waiting.hold);
        if let Some(refusal) = handle.refusal(hold) {
            return Poll::Ready(Err(refusal));
        }
        let waiting = self.waiting.get_or_insert_default();
        let after = waiting.within.unwrap_or_else(|| handle.call_timeout());
        if let (None, Some(message)) = (&waiting.encoded, &self.message) {
            waiting.encoded = Some(message.encoded(with_sequence)?);
        }
        let deadline = waiting.deadline.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(Error::Timeout { operation: "room to publish", after }))
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        self.chan.handle.forget(self.waiter);
    }
}

impl fmt::Debug for Handover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("exchange", &self.exchange)
            .field("mandatory", &self.mandatory)
            .finish_non_exhaustive()
    }
}
