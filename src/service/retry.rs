//! Trying again later: the queues in which a failed message waits, and the one where it ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{failure::Failure, history};
use crate::{
    Chan, ChanState, DeadLetter, Error, Exchange, Message, Publisher, Queue, Quorum, Received,
    Unconfirmed, UsageError,
    capability::{InConfirmMode, IsOpen},
    exchange::DefaultExchange,
    queue::CanPurge,
};

/// How often a failed message is tried again, and after what delays.
///
/// Declaring it for a queue declares what it needs: per delay a queue `<queue>.retry.<milliseconds>`
/// in which messages wait until they expire, and are dead-lettered back; and the queue
/// `<queue>.parked` for those that failed every time
/// (<https://www.rabbitmq.com/docs/dlx>, <https://www.rabbitmq.com/docs/ttl>). All are quorum queues
/// that dead-letter at least once.
///
/// ```
/// use std::time::Duration;
/// use hopmq::service::Retry;
///
/// let five_times = Retry::times(5, Duration::from_secs(10));
/// let longer_and_longer = Retry::times(5, Duration::from_secs(1)).doubling(Duration::from_secs(60));
/// let as_listed = Retry::after([1, 30, 600].map(Duration::from_secs));
/// assert_eq!(longer_and_longer.delays().map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
/// # let _ = (five_times, as_listed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    delays: Delays,
    parked: Option<String>,
}

/// A queue per delay: so many are enough.
const DELAYS_MAX: usize = 16;

/// How long a message is held that could be neither parked nor kept for later, before it goes back
/// to its queue: so that it does not come again at once.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Delays {
    Same { times: u32, delay: Duration },
    Doubling { times: u32, first: Duration, most: Duration },
    Listed(Vec<Duration>),
}

impl Retry {
    /// So many times (the seed's `max_retries`), each after the same delay (`retry_delay`).
    pub fn times(max_retries: u32, retry_delay: Duration) -> Self {
        Retry { delays: Delays::Same { times: max_retries, delay: retry_delay }, parked: None }
    }

    /// Once after each of these delays.
    pub fn after(delays: impl IntoIterator<Item = Duration>) -> Self {
        Retry { delays: Delays::Listed(delays.into_iter().collect()), parked: None }
    }

    /// Each delay twice as long as the one before, up to `most`.
    pub fn doubling(mut self, most: Duration) -> Self {
        if let Delays::Same { times, delay } = self.delays {
            self.delays = Delays::Doubling { times, first: delay, most };
        }
        self
    }

    /// Messages that failed every time go to the queue of that name, instead of `<queue>.parked`.
    pub fn parked_in(mut self, name: impl Into<String>) -> Self {
        self.parked = Some(name.into());
        self
    }

    /// How often a message is tried again.
    pub fn max_retries(&self) -> u32 {
        match &self.delays {
            Delays::Same { times, .. } | Delays::Doubling { times, .. } => *times,
            Delays::Listed(delays) => u32::try_from(delays.len()).unwrap_or(u32::MAX),
        }
    }

    /// The delays, one for each time that a message is tried again.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + '_ {
        (1..=self.max_retries()).filter_map(|attempt| self.delay(attempt))
    }

    /// The delay after the attempt with that number, from 1 on; `None` when there is no other.
    pub fn delay(&self, attempt: u32) -> Option<Duration> {
        let index = attempt.checked_sub(1)?;
        match &self.delays {
            Delays::Same { times, delay } => (index < *times).then_some(*delay),
            Delays::Doubling { times, first, most } => {
                let factor = 2u32.saturating_pow(index.min(31));
                (index < *times).then(|| first.saturating_mul(factor).min(*most))
            }
            Delays::Listed(delays) => delays.get(usize::try_from(index).ok()?).copied(),
        }
    }

    /// Declares the queues, and gives what a worker needs to use them.
    ///
    /// # Errors
    /// [`Error`]: a queue whose name the broker chose, or an exclusive one, cannot be retried, since
    /// a message could not find back; nor can there be more than 16 different delays.
    pub async fn declare<S, K>(self, chan: &Chan<S>, queue: &Queue<K>) -> Result<Retries, Error>
    where
        S: ChanState,
        K: CanPurge,
        Chan<S>: IsOpen + InConfirmMode,
    {
        let name = queue.name();
        if queue.is_server_named() || queue.is_exclusive() {
            let problem = "a queue that does not last cannot get its messages back";
            return Err(UsageError::bad("retry", problem).into());
        }
        let mut waiting: Vec<(Duration, Queue<Quorum>)> = Vec::new();
        // Doubled delays do not change any more after 32; a list is looked at whole.
        let different = match &self.delays {
            Delays::Listed(delays) => delays.len(),
            Delays::Same { .. } | Delays::Doubling { .. } => 33,
        };
        for delay in self.delays().take(different) {
            let delay = whole_millis(delay);
            if waiting.iter().any(|(known, _)| *known == delay) {
                continue;
            }
            if waiting.len() == DELAYS_MAX {
                return Err(UsageError::bad("retry", "has more than 16 different delays").into());
            }
            let retry = Queue::quorum(format!("{name}.retry.{}", delay.as_millis()))
                .message_ttl(delay)
                .dead_letter_at_least_once(DeadLetter::to_queue(queue));
            waiting.push((delay, chan.declare(retry).await?));
        }
        let parked = self.parked.clone().unwrap_or_else(|| format!("{name}.parked"));
        let parked = chan.declare(Queue::quorum(parked)).await?;
        let publisher = chan.publisher();
        Ok(Retries { inner: Arc::new(Inner { retry: self, waiting, parked, publisher }) })
    }
}

/// The queues of a [`Retry`], declared; cheap to clone.
#[derive(Clone)]
pub struct Retries {
    inner: Arc<Inner>,
}

struct Inner {
    retry: Retry,
    waiting: Vec<(Duration, Queue<Quorum>)>,
    parked: Queue<Quorum>,
    publisher: Publisher,
}

impl Retries {
    /// Where messages end that failed every time, or permanently: whole, with their history in
    /// [headers](super::history).
    pub fn parked(&self) -> &Queue<Quorum> {
        &self.inner.parked
    }

    /// The queues in which messages wait, and for how long.
    pub fn waiting(&self) -> impl Iterator<Item = (Duration, &Queue<Quorum>)> {
        self.inner.waiting.iter().map(|(delay, queue)| (*delay, queue))
    }

    /// Publishes a copy to where the message goes from here, and waits until the broker has it.
    async fn hand_on(&self, failed: Failing<'_>) -> Result<Fate, NotHandedOn> {
        let Failing { received, queue, attempt, failure } = failed;
        let Inner { retry, waiting, parked, publisher } = &*self.inner;
        let delay = retry.delay(attempt).filter(|_| !failure.is_permanent()).map(whole_millis);
        let waits = delay.and_then(|delay| waiting.iter().find(|(known, _)| *known == delay));
        let (fate, target) = match waits {
            Some((after, queue)) => (Fate::Retried { attempt, after: *after }, queue),
            None => (Fate::Parked { attempts: attempt }, parked),
        };
        let mut copy = history::copy(received, queue, attempt, &failure.to_string());
        if copy.properties().message_id().is_none() {
            copy = copy.message_id(super::MessageId::random());
        }
        if waits.is_none() {
            copy = copy.persistent();
        }
        let default: Exchange<DefaultExchange> = Exchange::default_exchange();
        let publish = publisher.publish(&default, target, copy).mandatory().at_least_once();
        publish.await?.await.map_err(|error| NotHandedOn::Refused(error.into_parts().0))?;
        Ok(fate)
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries")
            .field("retry", &self.inner.retry)
            .field("parked", &self.inner.parked.name())
            .finish()
    }
}

/// What becomes of a message that was not processed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is rejected: dead-lettered where its queue says so, else dropped by the broker. What a
    /// worker does that was told nothing.
    Reject,
    /// It goes back to its queue at once, at most so many times, then it is rejected. Quorum queues
    /// count for themselves, and have a [limit](crate::QueueDeclaration::delivery_limit) of their
    /// own; a queue that does not count gives a message one more chance.
    Requeue {
        /// How often.
        max_retries: u32,
    },
    /// It is tried again after a delay, and parked in the end.
    Retry(Retries),
}

impl From<Retries> for OnFailure {
    fn from(retries: Retries) -> Self {
        OnFailure::Retry(retries)
    }
}

/// What became of a message that was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It waits in a queue, to be tried again.
    Retried {
        /// Which attempt failed, from 1 on.
        attempt: u32,
        /// How long it waits.
        after: Duration,
    },
    /// It went to the queue of parked messages, with its history.
    Parked {
        /// How often it was tried.
        attempts: u32,
    },
    /// It was rejected: dead-lettered where its queue says so.
    Rejected,
    /// It went back to its queue.
    Requeued,
}

impl Fate {
    /// What it is called in metrics and logs, e.g. `retried`.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Retried { .. } => "retried",
            Fate::Parked { .. } => "parked",
            Fate::Rejected => "rejected",
            Fate::Requeued => "requeued",
        }
    }
}

/// A message that failed: what it takes to hand it on.
pub(super) struct Failing<'a> {
    pub(super) received: Received,
    pub(super) queue: &'a str,
    pub(super) attempt: u32,
    pub(super) failure: &'a Failure,
}

#[derive(Debug, thiserror::Error)]
enum NotHandedOn {
    #[error("it was not sent")]
    NotSent(#[source] Error),
    #[error("the broker did not take it")]
    Refused(#[source] Unconfirmed),
}

impl NotHandedOn {
    fn log(&self, queue: &str) {
        let error = self as &dyn std::error::Error;
        tracing::error!(error, queue, "a failed message goes back to its queue");
    }
}

impl From<crate::Failed<Message>> for NotHandedOn {
    fn from(failed: crate::Failed<Message>) -> Self {
        NotHandedOn::NotSent(failed.into())
    }
}

impl OnFailure {
    /// What to do with the delivery, once what has to be published is.
    ///
    /// Never fails: what cannot be handed on goes back to its queue after a pause.
    pub(super) async fn decide(&self, failed: Failing<'_>) -> Fate {
        match self {
            OnFailure::Reject => Fate::Rejected,
            OnFailure::Requeue { max_retries } => {
                let before = match failed.received.delivery_count() {
                    Some(count) => count,
                    // A queue that does not count says at least that it is not the first time.
                    None if failed.received.is_redelivered() => u64::MAX,
                    None => 0,
                };
                let again = !failed.failure.is_permanent() && before < u64::from(*max_retries);
                if again { Fate::Requeued } else { Fate::Rejected }
            }
            OnFailure::Retry(retries) => {
                let queue = failed.queue;
                match retries.hand_on(failed).await {
                    Ok(fate) => fate,
                    Err(error) => {
                        error.log(queue);
                        tokio::time::sleep(PAUSE).await;
                        Fate::Requeued
                    }
                }
            }
        }
    }
}

/// Counts of how messages ended, as one number each.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) completed: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) parked: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) requeued: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, fate: Option<Fate>) {
        let counter = match fate {
            None => &self.completed,
            Some(Fate::Retried { .. }) => &self.retried,
            Some(Fate::Parked { .. }) => &self.parked,
            Some(Fate::Rejected) => &self.rejected,
            Some(Fate::Requeued) => &self.requeued,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The broker counts in milliseconds.
fn whole_millis(delay: Duration) -> Duration {
    Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(retry: &Retry) -> Vec<u64> {
        retry.delays().map(|delay| delay.as_secs()).collect()
    }

    #[test]
    fn delays_are_as_often_and_as_long_as_said() {
        let second = Duration::from_secs(1);
        assert_eq!(seconds(&Retry::times(3, 5 * second)), [5, 5, 5]);
        assert_eq!(seconds(&Retry::times(6, second).doubling(10 * second)), [1, 2, 4, 8, 10, 10]);
        assert_eq!(seconds(&Retry::after([3 * second, second])), [3, 1]);
        assert_eq!(Retry::times(0, second).delay(1), None);
        assert_eq!(Retry::times(2, second).delay(0), None, "attempts count from 1");
        assert_eq!(Retry::times(2, second).delay(3), None);
        let for_ever = Retry::times(u32::MAX, second).doubling(9 * second);
        assert_eq!(for_ever.delay(u32::MAX), Some(9 * second));
    }
}
