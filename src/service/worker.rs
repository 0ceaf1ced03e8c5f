//! A consumer as a service: a handler for the messages of a queue.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, pending, poll_fn},
    hash::{BuildHasher, Hash, RandomState},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::{task::JoinSet, time::timeout};
use tracing::Instrument;

use super::{
    caught::{caught, finish},
    codec::{Codec, Decode, DecodeError},
    failure::{Failure, Handler, Outcome},
    job::{Job, Processing},
    message::Message,
    meter,
    retry::{Fate, OnFailure, Tally},
    span,
};
use crate::{ConsumeError, Consumer, Delivery, Received};

/// As many handlers at once, unless [`Worker::concurrency`] says otherwise.
const CONCURRENCY: usize = 16;
/// So many messages at most wait for others of their key.
const WAITING_MAX: usize = 1024;
/// How long handlers have to end when a worker is stopped, unless [`Worker::drain_within`] says
/// otherwise.
const DRAIN: Duration = Duration::from_secs(30);

/// A worker at work; see [`Worker::run`]. A type of its own, so that the compiler says of a wrong
/// handler once what is wrong, and not of each part of an `async fn`.
///
/// Dropped, running handlers are dropped and their messages go back to the queue.
#[must_use = "nothing is consumed until this is awaited"]
pub struct Run {
    serving: Pin<Box<dyn Future<Output = Result<Served, ConsumeError>> + Send>>,
}

impl Future for Run {
    type Output = Result<Served, ConsumeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.serving.as_mut().poll(cx)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

/// A service that processes the messages of a consumer with a [`Handler`], several at once.
///
/// Each message is decoded, handled in a task of its own, and settled as the handler says: `Ok` acks
/// it; an error, a panic and a deadline that is over are failures, with which [`OnFailure`] deals.
/// A message that cannot be decoded never reaches the handler; [`Undecodable`] says where it goes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use std::time::Duration;
/// use hopmq::{Conn, Exchange, Queue, Uri};
/// use hopmq::service::{Failure, Message, Retry, Text, Worker};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?.confirm_select().await?;
/// let orders = chan.declare(Queue::quorum("orders")).await?;
/// let retries = Retry::times(3, Duration::from_secs(10)).declare(&chan, &orders).await?;
///
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let worker = Worker::new(chan.consume(&orders).prefetch(32).await?, Text)
///     .on_failure(retries)
///     .concurrency(8)
///     .deadline(Duration::from_secs(60));
/// let worker = tokio::spawn(worker.run_until(
///     async |order: Message<String>| {
///         println!("shipping {}", order.payload);
///         Ok::<_, Failure>(())
///     },
///     async { drop(stopped.await) },
/// ));
///
/// let order = Message::new("12 apples".to_owned()).encode(&Text)?;
/// chan.publish(&Exchange::default_exchange(), &orders, order).await?.await?;
/// # while chan.counts(&orders).await?.messages > 0 { tokio::task::yield_now().await; }
/// drop(stop);
/// assert_eq!(worker.await??.completed, 1);
/// # Ok(()) }
/// ```
///
/// # Order
/// Handlers run side by side, so messages are processed in no particular order. With
/// [`Worker::order_by`] those of the same key are processed one after the other, as they came; one
/// that is retried comes later than those behind it.
///
/// # Exactly once
/// Is not promised: a message whose ack is lost with its connection comes again. Handlers of which
/// that is not true anyway are wrapped in [`Once`](super::Once), which knows the ids of messages.
#[must_use = "nothing is consumed until it is run"]
pub struct Worker<T, C> {
    consumer: Consumer,
    codec: Arc<C>,
    on_failure: Arc<OnFailure>,
    undecodable: Undecodable,
    concurrency: usize,
    deadline: Option<Duration>,
    drain: Duration,
    key: Option<Key<T>>,
    payload: PhantomData<fn() -> T>,
}

type Key<T> = Arc<dyn Fn(&Message<T>) -> u64 + Send + Sync>;
type HandedOver = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Where a message goes that cannot be decoded. It is settled once, so it never comes in a loop.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Undecodable {
    /// Where a message goes that failed permanently: it is parked where there are
    /// [`Retries`](super::Retries), else rejected, that is dead-lettered where its queue says so.
    #[default]
    DeadLetter,
    /// It is acked, and logged as a warning.
    Drop,
    /// It is given to a function as it is; see [`Undecodable::hand_over`].
    HandOver(RawHandler),
}

/// See [`Undecodable::hand_over`].
#[derive(Clone)]
pub struct RawHandler(Arc<dyn Fn(Undecoded) -> HandedOver + Send + Sync>);

/// A message that could not be decoded.
#[derive(Debug)]
pub struct Undecoded {
    /// As it came.
    pub raw: crate::Message,
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// Why it could not be decoded.
    pub error: Arc<DecodeError>,
}

/// What a worker did, when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Served {
    /// Messages that were processed.
    pub completed: u64,
    /// Failures after which the message waits to be tried again.
    pub retried: u64,
    /// Messages that were parked.
    pub parked: u64,
    /// Messages that were rejected.
    pub rejected: u64,
    /// Messages that went back to their queue after a failure.
    pub requeued: u64,
    /// Handlers that were still running when the time to drain was over; their messages went back.
    pub aborted: u64,
}

impl Undecodable {
    /// It is given to that function, as raw as it came; what the function says settles it.
    pub fn hand_over<F, R>(handler: F) -> Self
    where
        F: Fn(Undecoded) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        Undecodable::HandOver(RawHandler(Arc::new(move |message| Box::pin(handler(message)))))
    }
}

impl<T, C: Codec> Worker<T, C> {
    /// A worker on that consumer, whose messages the codec reads. How many messages it holds
    /// unsettled is the consumer's [prefetch](crate::Consume::prefetch).
    pub fn new(consumer: Consumer, codec: C) -> Self {
        Worker {
            consumer,
            codec: Arc::new(codec),
            on_failure: Arc::new(OnFailure::Reject),
            undecodable: Undecodable::default(),
            concurrency: CONCURRENCY,
            deadline: None,
            drain: DRAIN,
            key: None,
            payload: PhantomData,
        }
    }

    /// What becomes of a message that was not processed; [`OnFailure::Reject`] by itself.
    /// [`Retries`](super::Retries) are given as they are.
    pub fn on_failure(mut self, on_failure: impl Into<OnFailure>) -> Self {
        self.on_failure = Arc::new(on_failure.into());
        self
    }

    /// What becomes of a message that cannot be decoded.
    pub fn undecodable(mut self, undecodable: Undecodable) -> Self {
        self.undecodable = undecodable;
        self
    }

    /// So many handlers run at once at most, 16 by itself; at least one.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// A handler that takes longer is dropped, and its message has failed. Without one it may take
    /// as long as it likes, though RabbitMQ closes the channel of a delivery that is not settled for
    /// half an hour (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// How long running handlers have to end once the worker is stopped, 30 seconds by itself. What
    /// has not ended by then is dropped, and its message goes back to the queue.
    pub fn drain_within(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Messages of the same key are processed one after the other, in the order they came.
    pub fn order_by<K: Hash>(
        mut self,
        key: impl Fn(&Message<T>) -> K + Send + Sync + 'static,
    ) -> Self {
        let hasher = RandomState::new();
        self.key = Some(Arc::new(move |message| hasher.hash_one(key(message))));
        self
    }

    /// Processes messages until the consumer ends.
    ///
    /// Dropped, running handlers are dropped and their messages go back to the queue.
    ///
    /// # Errors
    /// Why the consumer ended, if this program did not cancel it.
    pub fn run<H>(self, handler: H) -> Run
    where
        T: Send + 'static,
        C: Decode<T>,
        H: Handler<T>,
    {
        Run { serving: Box::pin(self.run_until(handler, pending())) }
    }

    /// Processes messages until the consumer ends, or until `stop` is ready: then nothing more is
    /// taken, what was not begun goes back to the queue, and running handlers come to their end,
    /// within the time [to drain](Worker::drain_within).
    ///
    /// Dropped, running handlers are dropped and their messages go back to the queue.
    ///
    /// # Errors
    /// Why the consumer ended, if this program did not cancel it.
    pub async fn run_until<H>(
        self,
        handler: H,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Served, ConsumeError>
    where
        T: Send + 'static,
        C: Decode<T>,
        H: Handler<T>,
    {
        let mut consumer = self.consumer;
        let mut floor = Floor {
            codec: self.codec,
            on_failure: self.on_failure,
            undecodable: self.undecodable,
            concurrency: self.concurrency,
            deadline: self.deadline,
            key: self.key,
            handler: Arc::new(handler),
            tasks: JoinSet::new(),
            lanes: HashMap::new(),
            waiting: 0,
            tally: Arc::new(Tally::default()),
        };
        let mut stop = pin!(stop);
        let ended = loop {
            let event = poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                if let Poll::Ready(Some(done)) = floor.tasks.poll_join_next(cx) {
                    return Poll::Ready(Event::Done(done.ok().flatten()));
                }
                if !floor.has_room() {
                    return Poll::Pending;
                }
                Pin::new(&mut consumer).poll_next(cx).map(Event::Next)
            });
            match event.await {
                Event::Stop => break Ok(()),
                Event::Done(lane) => floor.next_of(lane),
                Event::Next(Some(Ok(delivery))) => floor.take(delivery),
                // It was rejected, and says so; the consumer goes on.
                Event::Next(Some(Err(
                    error @ (ConsumeError::TooLarge { .. } | ConsumeError::HeadersTooLarge { .. }),
                ))) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a message is lost");
                }
                Event::Next(Some(Err(error))) => break Err(error),
                Event::Next(None) => break Ok(()),
            }
        };
        // Nothing more comes; what had come and was not begun goes back.
        drop(consumer);
        let served = floor.drain(self.drain).await;
        ended.map(|()| served)
    }
}

enum Event {
    Stop,
    /// A task has ended, which had that lane to itself.
    Done(Option<u64>),
    Next(Option<Result<Delivery, ConsumeError>>),
}

/// Where the work is done.
struct Floor<T, C, H> {
    codec: Arc<C>,
    on_failure: Arc<OnFailure>,
    undecodable: Undecodable,
    concurrency: usize,
    deadline: Option<Duration>,
    key: Option<Key<T>>,
    handler: Arc<H>,
    /// Each gives back its lane.
    tasks: JoinSet<Option<u64>>,
    /// Messages of a key of which one is being processed.
    lanes: HashMap<u64, VecDeque<Job<Message<T>>>>,
    waiting: usize,
    tally: Arc<Tally>,
}

impl<T, C, H> Floor<T, C, H>
where
    T: Send + 'static,
    C: Decode<T>,
    H: Handler<T>,
{
    fn has_room(&self) -> bool {
        self.tasks.len() < self.concurrency && self.waiting < WAITING_MAX
    }

    fn take(&mut self, delivery: Delivery) {
        let job = Job::new(delivery, self.on_failure.clone());
        let decoded = caught(|| {
            let message = Message::decode(job.received(), &*self.codec)?;
            let lane = self.key.as_ref().map(|key| key(&message));
            Ok((message, lane))
        });
        match decoded {
            Ok(Ok((message, lane))) => self.enter(job.with(message), lane),
            Ok(Err(error)) => self.set_aside(job.start(), error),
            // A codec or a key that panics does so again.
            Err(panicked) => {
                let tally = self.tally.clone();
                self.tasks.spawn(async move {
                    settle(job.start(), Err(Failure::permanent(panicked)), &tally).await;
                    None
                });
            }
        }
    }

    fn enter(&mut self, job: Job<Message<T>>, lane: Option<u64>) {
        match lane.and_then(|lane| self.lanes.get_mut(&lane)) {
            Some(others) => {
                others.push_back(job);
                self.waiting += 1;
            }
            None => {
                if let Some(lane) = lane {
                    self.lanes.insert(lane, VecDeque::new());
                }
                self.begin(job, lane);
            }
        }
    }

    fn next_of(&mut self, lane: Option<u64>) {
        let Some(lane) = lane else { return };
        match self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(job) => {
                self.waiting -= 1;
                self.begin(job, Some(lane));
            }
            None => {
                self.lanes.remove(&lane);
            }
        }
    }

    fn begin(&mut self, job: Job<Message<T>>, lane: Option<u64>) {
        let (handler, deadline, tally) = (self.handler.clone(), self.deadline, self.tally.clone());
        self.tasks.spawn(async move {
            let span = span::process(job.received(), job.queue(), job.delivery_tag());
            let running = meter::Running::on(job.queue());
            let (message, job) = job.start().take();
            let outcome = finish(deadline, || handler.handle(message)).instrument(span.clone());
            let outcome = outcome.await;
            running.ended(&outcome);
            if let Err(failure) = &outcome {
                span::failed(&span, failure);
            }
            settle(job, outcome, &tally).instrument(span).await;
            lane
        });
    }

    fn set_aside(&mut self, job: Job<(), Processing>, error: DecodeError) {
        meter::undecodable(job.queue());
        let (undecodable, deadline, tally) =
            (self.undecodable.clone(), self.deadline, self.tally.clone());
        self.tasks.spawn(async move {
            let outcome = match undecodable {
                Undecodable::DeadLetter => Err(Failure::permanent(error)),
                Undecodable::Drop => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, queue = job.queue(), "dropped: a message of no use");
                    Ok(())
                }
                Undecodable::HandOver(handler) => {
                    let message = Undecoded::new(job.received(), error);
                    finish(deadline, || (handler.0)(message)).await
                }
            };
            settle(job, outcome, &tally).await;
            None
        });
    }

    async fn drain(mut self, within: Duration) -> Served {
        for job in std::mem::take(&mut self.lanes).into_values().flatten() {
            // On a dead channel the broker has put it back already.
            let _ = job.put_back();
        }
        let tasks = &mut self.tasks;
        let drained = timeout(within, async { while tasks.join_next().await.is_some() {} }).await;
        let aborted = match drained {
            Ok(()) => 0,
            Err(_) => tasks.len(),
        };
        if aborted > 0 {
            tracing::warn!(aborted, "handlers did not end in time; their messages go back");
            tasks.shutdown().await;
        }
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Served {
            completed: count(&self.tally.completed),
            retried: count(&self.tally.retried),
            parked: count(&self.tally.parked),
            rejected: count(&self.tally.rejected),
            requeued: count(&self.tally.requeued),
            aborted: u64::try_from(aborted).unwrap_or(u64::MAX),
        }
    }
}

impl Undecoded {
    fn new(received: &Received, error: DecodeError) -> Self {
        Undecoded {
            raw: received.to_message(),
            exchange: received.exchange().into_owned(),
            routing_key: received.routing_key().into_owned(),
            error: Arc::new(error),
        }
    }
}

/// Settles a job as its outcome says. That it could not be settled is no failure of this program:
/// the message comes again.
async fn settle(job: Job<(), Processing>, outcome: Outcome, tally: &Tally) {
    let queue = job.queue().to_owned();
    let settled = match outcome {
        Ok(()) => job.complete().map(|_| None),
        Err(failure) => {
            tracing::warn!(queue, attempt = job.attempt(), %failure, "a message was not processed");
            job.fail(failure).await.map(|job| Some(job.fate()))
        }
    };
    match settled {
        Ok(fate) => {
            meter::settled(&queue, fate.map_or("completed", Fate::name));
            tally.count(fate);
        }
        Err(error) => {
            meter::settled(&queue, "stale");
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, queue, "a message could not be settled; it comes again");
        }
    }
}

impl<T, C> fmt::Debug for Worker<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("consumer", &self.consumer)
            .field("on_failure", &self.on_failure)
            .field("undecodable", &self.undecodable)
            .field("concurrency", &self.concurrency)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undecodable::DeadLetter => "DeadLetter",
            Undecodable::Drop => "Drop",
            Undecodable::HandOver(_) => "HandOver(..)",
        })
    }
}

impl fmt::Debug for RawHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawHandler(..)")
    }
}
