//! Messages that are written where the data is, and published from there.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;

use super::{
    codec::{BoxError, Codec},
    message::Message,
    publisher::{PublishError, Publisher},
};
use crate::{Error, exchange::RouteTo};

/// How often a relay looks for new messages, unless [`Relay::poll_every`] says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest that a relay waits after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// So many messages are taken from the store at once.
const AT_ONCE: usize = 64;

/// Where messages wait to be published: a table beside the data that they tell of.
///
/// Written in one transaction with that data, a message is published exactly when the data is there:
/// neither without it nor never. A [`Relay`] publishes what is pending, in order.
pub trait Outbox: Send + Sync + 'static {
    /// The oldest messages that are not done, in order, at most so many.
    ///
    /// # Errors
    /// Why the store cannot say; the relay asks again after a pause.
    fn pending(&self, most: usize) -> impl Future<Output = Result<Vec<Entry>, BoxError>> + Send;

    /// The broker has confirmed the message of that number: it is not to be given again.
    ///
    /// # Errors
    /// Why the store cannot keep that; the relay says it again after a pause.
    fn done(&self, number: u64) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The broker did not take a message. By itself it is tried again after a pause, and those
    /// behind it wait; a store that sets it aside says [`Decision::Skip`].
    fn refused(
        &self,
        _entry: &Entry,
        _error: &PublishError,
    ) -> impl Future<Output = Decision> + Send {
        async { Decision::TryAgain }
    }
}

impl<O: Outbox> Outbox for Arc<O> {
    async fn pending(&self, most: usize) -> Result<Vec<Entry>, BoxError> {
        O::pending(self, most).await
    }

    async fn done(&self, number: u64) -> Result<(), BoxError> {
        O::done(self, number).await
    }

    async fn refused(&self, entry: &Entry, error: &PublishError) -> Decision {
        O::refused(self, entry, error).await
    }
}

/// A message in an [`Outbox`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order; not used again.
    pub number: u64,
    /// The key that it is published with.
    pub routing_key: String,
    /// The message: see [`Message::to_bytes`].
    pub message: Message<Bytes>,
}

/// What becomes of a message that the broker did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is published again, after a pause; those behind it wait.
    TryAgain,
    /// It counts as done: the store has set it aside.
    Skip,
}

/// Publishes what is in an [`Outbox`], one message after the other, and says what is done.
///
/// Each is published [at least once](Publisher), in order, with the same id however often; it is done
/// when the broker has confirmed it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use std::sync::Arc;
/// use hopmq::{Conn, Exchange, Queue, Uri};
/// use hopmq::service::{MemoryOutbox, Message, Publisher, Raw, Relay, Text};
///
/// # let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// # let chan = conn.open_channel().await?.confirm_select().await?;
/// # let orders = chan.declare(Exchange::topic("orders")).await?;
/// # let inbox = chan.declare(Queue::quorum("inbox")).await?;
/// # chan.bind(&inbox, &orders, "#").await?;
/// let outbox = Arc::new(MemoryOutbox::new(1000));
/// let order = Message::new("12 apples".to_owned());
/// outbox.push("order.eu", order.to_bytes(&Text)?)?;
///
/// let relay = Relay::new(outbox.clone(), Publisher::new(chan.publisher(), orders, Raw));
/// # let all_done = { let outbox = outbox.clone(); async move { while !outbox.is_empty() { tokio::task::yield_now().await } } };
/// relay.run_until(all_done).await?;
/// assert_eq!(chan.counts(&inbox).await?.messages, 1);
/// # Ok(()) }
/// ```
pub struct Relay<O, X, C> {
    outbox: O,
    publisher: Publisher<X, C>,
    interval: Duration,
}

/// A relay cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the channel that publishes has ended")]
pub struct RelayError(#[source] Error);

impl<O: Outbox, X, C: Codec> Relay<O, X, C> {
    /// Publishes what is in that outbox, or in one behind an `Arc`. The codec of the publisher is not used: messages say what
    /// they are.
    pub fn new(outbox: O, publisher: Publisher<X, C>) -> Self {
        Relay { outbox, publisher, interval: INTERVAL }
    }

    /// How often it looks for new messages when there were none; every second by itself.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Publishes until `stop` is ready; the message that is on its way then is waited for.
    ///
    /// Dropped, a message that was on its way may be published once more, with the same id.
    ///
    /// # Errors
    /// [`RelayError`] when the channel has ended for good. What the store cannot do, and what the
    /// broker does not take, is logged and tried again.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), RelayError>
    where
        for<'a> &'a str: RouteTo<'a, X>,
    {
        let mut stop = pin!(stop);
        let mut failures = 0;
        loop {
            let waits = match self.round(stop.as_mut()).await? {
                Round::Stopped => return Ok(()),
                Round::Some => {
                    failures = 0;
                    continue;
                }
                Round::None => self.interval,
                Round::Failed => {
                    failures = u32::min(failures + 1, 10);
                    pause(failures)
                }
            };
            if stopped_within(stop.as_mut(), waits).await {
                return Ok(());
            }
        }
    }

    /// Publishes what is pending, as far as it goes.
    async fn round<S>(&self, mut stop: Pin<&mut S>) -> Result<Round, RelayError>
    where
        S: Future<Output = ()>,
        for<'a> &'a str: RouteTo<'a, X>,
    {
        let entries = match self.outbox.pending(AT_ONCE).await {
            Ok(entries) => entries,
            Err(error) => return Ok(failed(&*error, "the outbox does not say what is pending")),
        };
        let found = if entries.is_empty() { Round::None } else { Round::Some };
        for entry in entries {
            if is_ready(stop.as_mut()).await {
                return Ok(Round::Stopped);
            }
            let raw = entry.message.clone().into();
            if let Err(error) = self.publisher.publish_raw(entry.routing_key.as_str(), raw).await {
                if let Some(reason) = self.publisher.close_reason() {
                    return Err(RelayError(reason));
                }
                if self.outbox.refused(&entry, &error).await == Decision::TryAgain {
                    return Ok(failed(&error, "a message of the outbox was not published"));
                }
            }
            if let Err(error) = self.outbox.done(entry.number).await {
                return Ok(failed(&*error, "the outbox does not keep what is done"));
            }
        }
        Ok(found)
    }
}

enum Round {
    Some,
    None,
    Failed,
    Stopped,
}

fn failed(error: &(dyn std::error::Error + 'static), what: &'static str) -> Round {
    tracing::warn!(error, "{what}");
    Round::Failed
}

/// Longer and longer, from a tenth of a second on.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(50).saturating_mul(2u32.saturating_pow(failures)).min(PAUSE_MAX)
}

async fn is_ready(mut stop: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx).is_ready())).await
}

async fn stopped_within(mut stop: Pin<&mut impl Future<Output = ()>>, time: Duration) -> bool {
    let mut time = pin!(sleep(time));
    poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        time.as_mut().poll(cx).map(|()| false)
    })
    .await
}

impl<O, X, C: Codec> fmt::Debug for Relay<O, X, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("publisher", &self.publisher)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// An [`Outbox`] in memory: for tests, and for what may be lost with the process.
#[derive(Debug)]
pub struct MemoryOutbox {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    entries: VecDeque<Entry>,
}

/// So many messages wait that no more are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox is full: {most} messages wait")]
pub struct OutboxFull {
    /// As many as it holds.
    pub most: usize,
}

impl MemoryOutbox {
    /// Holds at most so many messages.
    pub fn new(most: usize) -> Self {
        MemoryOutbox { most, waiting: Mutex::default() }
    }

    /// Puts a message behind the others, and gives its number.
    ///
    /// # Errors
    /// [`OutboxFull`]: the relay does not keep up, or the broker takes nothing.
    pub fn push(
        &self,
        routing_key: impl Into<String>,
        message: Message<Bytes>,
    ) -> Result<u64, OutboxFull> {
        let mut waiting = self.waiting();
        if waiting.entries.len() >= self.most {
            return Err(OutboxFull { most: self.most });
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.entries.push_back(Entry { number, routing_key: routing_key.into(), message });
        Ok(number)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting().entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for MemoryOutbox {
    async fn pending(&self, most: usize) -> Result<Vec<Entry>, BoxError> {
        Ok(self.waiting().entries.iter().take(most).cloned().collect())
    }

    async fn done(&self, number: u64) -> Result<(), BoxError> {
        self.waiting().entries.retain(|entry| entry.number != number);
        Ok(())
    }
}
