//! Consuming: builders, and the streams of deliveries that they give.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use crate::{
    call::Call,
    capability::IsOpen,
    chan::{Chan, ChanInner, ChanState},
    delivery::{Delivery, Source},
    driver::Untaken,
    error::{ConsumeError, Error},
    interruption::Interruptions,
    message::Received,
    proto::{
        Arrival, ConsumeSpec, ConsumerEnd, ConsumerKey, DIRECT_REPLY_TO, Discarded, Reply, Request,
        Upkeep, WaiterId, WhenCancelled,
    },
    queue::{
        CanConsumeAutomatically, CanConsumeExclusively, CanGet, Classic, HasOffsets, Offset, Queue,
        QueueKind, Quorum, SingleActive, Stream as StreamQueue, TakesConsumerPriority,
    },
    usage::UsageError,
    wire::{FieldTable, ShortString, TableLimits, Value},
};

/// How many unsettled deliveries a consumer holds unless it says otherwise. RabbitMQ's guide finds
/// the best throughput between 100 and 300
/// (<https://www.rabbitmq.com/docs/confirms#channel-qos-prefetch-throughput>).
pub const DEFAULT_PREFETCH: u16 = 200;

impl<S: ChanState> Chan<S> {
    /// Consumes from a queue: gives a stream of deliveries that settle by value.
    ///
    /// ```no_run
    /// # async fn run(chan: hopmq::Chan<hopmq::Open>, inbox: hopmq::Queue<hopmq::Quorum>) -> Result<(), hopmq::Error> {
    /// let mut deliveries = chan.consume(&inbox).prefetch(100).await?;
    /// while let Some(delivery) = deliveries.next().await {
    ///     delivery?.ack()?;
    /// }
    /// # Ok(()) }
    /// ```
    #[rustfmt::skip]
    pub fn consume<K: Consumable>( // takes what `chan.declare(Queue::quorum("inbox")).await?` gives
        &self,
        queue: &Queue<K>,
    ) -> K::Builder
    where
        Self: IsOpen,
    {
        K::builder(ConsumeOptions::new(self.inner().clone(), queue))
    }

    /// Takes one message from a queue, if there is one. A consumer is far cheaper for more.
    ///
    /// # Errors
    /// [`Error`]; a message that arrives after the call was dropped goes back to the queue. One that
    /// is over a limit is rejected, and [`ConsumeError::TooLarge`] or
    /// [`ConsumeError::HeadersTooLarge`] says so.
    pub fn get<K>(&self, queue: &Queue<K>) -> Call<Option<Delivery>>
    where
        K: CanGet,
        Self: IsOpen,
    {
        let inner = self.inner().clone();
        let checked = queue.check(inner.realm(), inner.handle.id());
        let name = queue.short_string();
        let request = checked.map(|()| Request::Get { queue: name.clone(), automatic: false });
        self.call(request, move |reply| match reply {
            Reply::Got(_, None) => Ok(None),
            Reply::Got(_, Some(arrival)) => {
                let source = Source { chan: inner.clone(), queue: name.clone() };
                let discarded = arrival.content.discarded();
                let limits = inner.handle.config().limits.table();
                let delivery = Delivery::new(Arc::new(source), *arrival, limits);
                match discarded {
                    None => Ok(Some(delivery)),
                    Some(discarded) => Err(Error::Consumer(refuse(delivery, discarded))),
                }
            }
            _ => Err(Error::Closed),
        })
    }
}

/// A queue kind that can be consumed from, with the builder that offers what it allows.
pub trait Consumable: QueueKind {
    /// The builder of a consumer.
    type Builder;

    #[doc(hidden)]
    fn builder(options: ConsumeOptions) -> Self::Builder;
}

impl Consumable for Classic {
    type Builder = Consume<Classic>;

    fn builder(options: ConsumeOptions) -> Self::Builder {
        Consume::new(options, Some(DEFAULT_PREFETCH))
    }
}

impl Consumable for Quorum {
    type Builder = Consume<Quorum>;

    fn builder(options: ConsumeOptions) -> Self::Builder {
        Consume::new(options, Some(DEFAULT_PREFETCH))
    }
}

impl Consumable for StreamQueue {
    type Builder = NeedsPrefetch<StreamQueue>;

    fn builder(mut options: ConsumeOptions) -> Self::Builder {
        options.upkeep.is_stream = true;
        NeedsPrefetch { options, kind: PhantomData }
    }
}

impl Consumable for SingleActive<Classic> {
    type Builder = Consume<SingleActive<Classic>>;

    fn builder(options: ConsumeOptions) -> Self::Builder {
        Consume::new(options, Some(DEFAULT_PREFETCH))
    }
}

impl Consumable for SingleActive<Quorum> {
    type Builder = Consume<SingleActive<Quorum>>;

    fn builder(options: ConsumeOptions) -> Self::Builder {
        Consume::new(options, Some(DEFAULT_PREFETCH))
    }
}

/// What all consumers have in common.
#[doc(hidden)]
#[derive(Debug)]
pub struct ConsumeOptions {
    chan: Arc<ChanInner>,
    queue: ShortString,
    checked: Result<(), UsageError>,
    exclusive: bool,
    arguments: FieldTable,
    upkeep: Upkeep,
}

impl ConsumeOptions {
    fn new<K>(chan: Arc<ChanInner>, queue: &Queue<K>) -> Self {
        ConsumeOptions {
            checked: queue.check(chan.realm(), chan.handle.id()),
            queue: queue.short_string(),
            exclusive: false,
            arguments: FieldTable::new(),
            upkeep: Upkeep { queue_is_transient: queue.is_transient(), ..Upkeep::default() },
            chan,
        }
    }

    fn argument(&mut self, name: &str, value: Value) {
        if self.checked.is_ok()
            && let Err(error) = self.arguments.insert(name, value)
        {
            self.checked = Err(UsageError::from(error));
        }
    }

    fn start<C>(
        self,
        prefetch: Option<u16>,
        automatic: bool,
        finish: impl Fn(Deliveries) -> C + Send + Sync + 'static,
    ) -> Call<C> {
        let ConsumeOptions { chan, queue, checked, exclusive, arguments, upkeep } = self;
        let arguments = match arguments.is_empty() {
            true => Bytes::new(),
            false => arguments.encode(),
        };
        let source = Arc::new(Source { chan, queue: queue.clone() });
        let request = checked.map(|()| {
            Request::Consume(ConsumeSpec {
                queue,
                automatic,
                exclusive,
                arguments,
                prefetch,
                upkeep,
            })
        });
        let chan = source.chan.clone();
        chan.handle.expect_handlers();
        chan.call(request, move |reply| match reply {
            Reply::Consuming(key) => Ok(finish(Deliveries::new(source.clone(), key, automatic))),
            _ => Err(Error::Closed),
        })
    }
}

/// Consumes direct replies: automatic, as the broker demands, and without a queue of its own
/// (<https://www.rabbitmq.com/docs/direct-reply-to>).
pub(crate) fn consume_replies(chan: Arc<ChanInner>) -> Call<AutomaticConsumer> {
    let queue = ShortString::from_static(DIRECT_REPLY_TO);
    let options = ConsumeOptions {
        chan,
        checked: queue.as_ref().map(|_| ()).map_err(|error| UsageError::from(*error)),
        queue: queue.unwrap_or_default(),
        exclusive: false,
        arguments: FieldTable::new(),
        upkeep: Upkeep { queue_is_transient: true, ..Upkeep::default() },
    };
    options.start(None, true, |deliveries| AutomaticConsumer { deliveries })
}

/// A stream queue's consumer that has no prefetch yet; RabbitMQ demands one
/// (<https://www.rabbitmq.com/docs/streams#consuming>).
#[must_use = "call `prefetch`, then await"]
#[derive(Debug)]
pub struct NeedsPrefetch<K> {
    options: ConsumeOptions,
    kind: PhantomData<fn() -> K>,
}

impl<K> NeedsPrefetch<K> {
    /// How many unsettled deliveries the broker sends at most.
    pub fn prefetch(self, count: u16) -> Consume<K> {
        // 0 means "no limit", which a stream refuses.
        Consume::new(self.options, Some(count.max(1)))
    }
}

/// A consumer that is being made: await it for its [`Consumer`].
#[must_use = "nothing is consumed until this is awaited"]
#[derive(Debug)]
pub struct Consume<K> {
    options: ConsumeOptions,
    prefetch: Option<u16>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Consume<K> {
    fn new(options: ConsumeOptions, prefetch: Option<u16>) -> Self {
        Consume { options, prefetch, kind: PhantomData }
    }

    /// How many unsettled deliveries the broker sends at most; [`DEFAULT_PREFETCH`] by itself.
    pub fn prefetch(mut self, count: u16) -> Self {
        self.prefetch = Some(count);
        self
    }

    /// Refuses any other consumer on the queue, or fails where there is one (403).
    pub fn exclusive(mut self) -> Self
    where
        K: CanConsumeExclusively,
    {
        self.options.exclusive = true;
        self
    }

    /// Consumers of higher priority are served first
    /// (<https://www.rabbitmq.com/docs/consumer-priority>).
    pub fn priority(mut self, priority: i32) -> Self
    where
        K: TakesConsumerPriority,
    {
        self.options.argument("x-priority", Value::I32(priority));
        self
    }

    /// Where in the stream to begin; [`Offset::Next`] by itself
    /// (<https://www.rabbitmq.com/docs/streams#consuming>).
    pub fn offset(mut self, offset: Offset) -> Self
    where
        K: HasOffsets,
    {
        match offset.value() {
            Ok(value) => self.options.argument("x-stream-offset", value),
            Err(error) => self.options.checked = Err(error),
        }
        self
    }

    /// What to do when the queue is taken away: when the broker cancels the consumer, since the queue
    /// was deleted or its leader moved, or when the queue could not be declared again after a lost
    /// connection. By itself the consumer ends, with [`ConsumeError::CancelledByBroker`] or the
    /// reason.
    ///
    /// Otherwise its stream goes on when the queue is there again, which is tried with the
    /// [backoff](crate::fsm::supervisor::Policy::backoff) of the connection, at most
    /// [`max_attempts`](crate::fsm::supervisor::Policy::max_attempts) times; until then the connection
    /// is degraded, for [`Reasons::PARTIAL`](crate::fsm::supervisor::Reasons::PARTIAL). What was so is
    /// told by [`Consumer::interruptions`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// # let chan = conn.open_channel().await?;
    /// use hopmq::{Queue, WhenCancelled};
    ///
    /// let inbox = chan.declare(Queue::quorum("inbox")).await?;
    /// let deliveries = chan.consume(&inbox).when_cancelled(WhenCancelled::Resubscribe).await?;
    /// # drop(deliveries);
    /// # Ok(()) }
    /// ```
    pub fn when_cancelled(mut self, what: WhenCancelled) -> Self {
        self.options.upkeep.when_cancelled = what;
        self
    }

    /// An argument that this library does not know. The broker checks it, or ignores it.
    pub fn raw_argument(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.argument(name, value.into());
        self
    }

    /// Takes deliveries as settled when they are sent: no acks, and what is in flight when the
    /// connection is lost is lost with it.
    pub fn automatic_ack(self) -> ConsumeAutomatically
    where
        K: CanConsumeAutomatically,
    {
        ConsumeAutomatically { options: self.options }
    }
}

impl<K> IntoFuture for Consume<K> {
    type Output = Result<Consumer, Error>;
    type IntoFuture = Call<Consumer>;

    fn into_future(self) -> Call<Consumer> {
        self.options.start(self.prefetch, false, |deliveries| Consumer { deliveries })
    }
}

/// A consumer with automatic acknowledgement that is being made.
#[must_use = "nothing is consumed until this is awaited"]
#[derive(Debug)]
pub struct ConsumeAutomatically {
    options: ConsumeOptions,
}

impl IntoFuture for ConsumeAutomatically {
    type Output = Result<AutomaticConsumer, Error>;
    type IntoFuture = Call<AutomaticConsumer>;

    fn into_future(self) -> Call<AutomaticConsumer> {
        self.options.start(None, true, |deliveries| AutomaticConsumer { deliveries })
    }
}

/// A stream of [`Delivery`]: an error ends it, but for [`ConsumeError::TooLarge`] and
/// [`ConsumeError::HeadersTooLarge`].
///
/// Dropping it cancels the consumer; what it had not handed out goes back to the queue.
#[must_use = "a consumer is cancelled when it is dropped"]
#[derive(Debug)]
pub struct Consumer {
    deliveries: Deliveries,
}

/// A stream of messages that are settled already.
///
/// Dropping it cancels the consumer; what it had not handed out is lost.
#[must_use = "a consumer is cancelled when it is dropped"]
#[derive(Debug)]
pub struct AutomaticConsumer {
    deliveries: Deliveries,
}

macro_rules! stream {
    ($consumer:ident, $item:ty, $make:expr) => {
        impl $consumer {
            #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
            /// The next item; `None` after the end. Dropping the future loses nothing.
            pub fn next(&mut self) -> Next<'_, Self> {
                Next { stream: self }
            }

            /// What interrupts the consumer, as a stream beside that of its deliveries: the connection
            /// was lost and is back, or the queue was, and the broker serves it again. Each tells
            /// whether messages may have been missed. It ends when the consumer has.
            ///
            /// Nothing waits for it: the last 16 are kept for whoever reads late. It does not keep
            /// the consumer alive.
            ///
            /// ```no_run
            /// # async fn run(deliveries: hopmq::Consumer) {
            /// let mut interruptions = deliveries.interruptions();
            /// tokio::spawn(async move {
            ///     while let Some(interruption) = interruptions.next().await {
            ///         if interruption.may_have_missed() {
            ///             println!("look for what is missing: {interruption}");
            ///         }
            ///     }
            /// });
            /// # }
            /// ```
            pub fn interruptions(&self) -> Interruptions {
                self.deliveries.interruptions()
            }

            /// Cancels the consumer and waits for the broker's answer. What had arrived before can
            /// still be taken from the stream, which then ends.
            ///
            /// # Errors
            /// Why the channel ended, if it has.
            pub fn cancel(&mut self) -> Call<()> {
                self.deliveries.cancel()
            }
        }

        impl Stream for $consumer {
            type Item = Result<$item, ConsumeError>;

            #[inline]
            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                let deliveries = &mut self.deliveries;
                let next = ready!(deliveries.poll_next(cx));
                Poll::Ready(next.map(|next| next.map(|arrival| $make(deliveries, arrival))))
            }
        }
    };
}

stream!(Consumer, Delivery, |deliveries: &Deliveries, arrival| {
    Delivery::new(deliveries.source.clone(), arrival, deliveries.limits)
});
stream!(AutomaticConsumer, Received, |deliveries: &Deliveries, arrival| {
    Received::new(arrival, deliveries.limits)
});

/// The next item of a consumer.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Next<'a, S> {
    stream: &'a mut S,
}

impl<'a, S> Next<'a, S> {
    pub(crate) fn of(stream: &'a mut S) -> Self {
        Next { stream }
    }
}

impl<S: Stream + Unpin> Future for Next<'_, S> {
    type Output = Option<S::Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.stream).poll_next(cx)
    }
}

/// Deliveries of one consumer, taken from the connection a whole batch at a time.
struct Deliveries {
    source: Arc<Source>,
    key: ConsumerKey,
    /// Of the headers.
    limits: TableLimits,
    taken: VecDeque<Arrival>,
    waiter: Option<WaiterId>,
    over: bool,
    /// How many of those taken are owed a settlement, where they are.
    untaken: Option<Untaken>,
}

impl Deliveries {
    fn new(source: Arc<Source>, key: ConsumerKey, automatic: bool) -> Self {
        let limits = source.chan.handle.config().limits.table();
        let untaken = (!automatic).then(|| source.chan.handle.count_untaken());
        let taken = VecDeque::new();
        Deliveries { source, key, limits, taken, waiter: None, over: false, untaken }
    }

    // Inlined into the user's loop, so that a message is moved once.
    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Arrival, ConsumeError>>> {
        loop {
            if let Some(arrival) = self.taken.pop_front() {
                if let Some(untaken) = &self.untaken {
                    untaken.are(self.taken.len());
                }
                return Poll::Ready(Some(match arrival.content.discarded() {
                    None => Ok(arrival),
                    Some(discarded) => Err(self.refuse(arrival, discarded)),
                }));
            }
            if let Some(end) = ready!(self.poll_batch(cx)) {
                return Poll::Ready(end.map(Err));
            }
        }
    }

    /// Takes what has arrived, or tells how the stream ends.
    #[cold]
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Option<ConsumeError>>> {
        if self.over {
            return Poll::Ready(Some(None));
        }
        let handle = &self.source.chan.handle;
        let polled = handle.poll_consumer(self.key, &mut self.taken, &mut self.waiter, cx);
        Poll::Ready(ready!(polled).map(|end| {
            self.over = true;
            self.ended(end)
        }))
    }

    #[cold]
    fn refuse(&self, arrival: Arrival, discarded: Discarded) -> ConsumeError {
        if arrival.automatic() {
            return over_limit(self.source.queue.clone(), discarded);
        }
        refuse(Delivery::new(self.source.clone(), arrival, self.limits), discarded)
    }

    fn ended(&self, end: ConsumerEnd) -> Option<ConsumeError> {
        ConsumeError::from_end(end, &self.source.queue, || self.source.chan.handle.last_error())
    }

    fn interruptions(&self) -> Interruptions {
        let Source { chan, queue } = &*self.source;
        Interruptions::new(chan.handle.shared(), self.key, queue.clone())
    }

    fn cancel(&mut self) -> Call<()> {
        let request = Request::Cancel { consumer: self.key.number };
        self.source.chan.call(Ok(request), |_| Ok(()))
    }
}

/// A message that was discarded for its size is rejected, and reported.
fn refuse(delivery: Delivery, discarded: Discarded) -> ConsumeError {
    let queue = delivery.queue().clone();
    // The error tells that it was; on a dead channel the broker has put it back.
    let _ = delivery.reject();
    over_limit(queue, discarded)
}

fn over_limit(queue: ShortString, discarded: Discarded) -> ConsumeError {
    match discarded {
        Discarded::Body(size) => ConsumeError::TooLarge { queue, size },
        Discarded::Headers(size) => ConsumeError::HeadersTooLarge { queue, size },
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.source.chan.handle.forget(self.waiter);
        let rest = std::mem::take(&mut self.taken);
        self.untaken = None;
        let key = self.key;
        self.source.chan.handle.command(|connection, now| connection.drop_consumer(now, key, rest));
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("queue", &self.source.queue.as_str())
            .field("taken", &self.taken.len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
