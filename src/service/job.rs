//! Processing as a typestate: pending, processing, completed or failed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    failure::Failure,
    history,
    retry::{Failing, Fate, OnFailure},
};
use crate::{Delivery, Error, Receipt, Received, sealed::Sealed};

/// A message on its way through processing, in the state `S`.
///
/// ```text
/// Job<M, Pending>
///   start -> Job<M, Processing>      put_back: to the queue again
/// Job<M, Processing>
///   complete -> Job<M, Completed>    acked: the broker forgets it
///   fail -> Job<M, Failed>           retried, parked, rejected or requeued, as the policy says
/// ```
///
/// Completing and failing take the job by value, so a message is completed or failed exactly once,
/// and that settles it. A pending or processing job that is dropped goes back to its queue, with a
/// warning; so it does when its task is aborted or panics.
///
/// A [`Worker`](super::Worker) does all this around a handler; jobs are for loops of one's own.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Open>, inbox: hopmq::Queue<hopmq::Quorum>) -> Result<(), hopmq::service::BoxError> {
/// use hopmq::service::{Failure, Job, Message, OnFailure, Text};
///
/// let mut deliveries = chan.consume(&inbox).await?;
/// while let Some(delivery) = deliveries.next().await {
///     let job = Job::new(delivery?, OnFailure::Reject); // Job<(), Pending>
///     let order: Message<String> = Message::decode(job.received(), &Text)?;
///     let job = job.start(); // Job<(), Processing>
///     match order.payload.parse::<u64>() {
///         Ok(number) => {
///             println!("{number} apples");
///             job.complete()?; // Job<(), Completed>
///         }
///         Err(error) => {
///             job.fail(Failure::permanent(error)).await?; // Job<(), Failed>
///         }
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Job<M, S: Status = Pending> {
    carried: M,
    held: S::Held,
}

/// The states of a [`Job`].
pub trait Status: Sealed + Send + Sync + Unpin + 'static {
    /// What it is called.
    const NAME: &'static str;

    #[doc(hidden)]
    type Held: Send + Sync + Unpin;
}

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident holds $held:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $state;

        impl Sealed for $state {}

        impl Status for $state {
            const NAME: &'static str = stringify!($state);
            type Held = $held;
        }
    )+};
}

states! {
    /// Received, and not begun.
    Pending holds Unsettled;
    /// Begun, and not settled.
    Processing holds Unsettled;
    /// Processed, and acked.
    Completed holds ();
    /// Not processed, and settled as the policy says.
    Failed holds Fate;
}

/// What there is of a message until it is settled.
#[doc(hidden)]
pub struct Unsettled {
    received: Received,
    receipt: Receipt,
    on_failure: Arc<OnFailure>,
}

/// A job that was not begun: `Job<_, Pending>`.
#[diagnostic::on_unimplemented(
    message = "this job is not pending",
    label = "this is a `{Self}`; it was begun already",
    note = "a job is begun once: `let job = job.start();`"
)]
pub trait IsPending<M>: Sealed {
    #[doc(hidden)]
    fn into_parts(self) -> (M, Unsettled);
}

/// A job that is being processed: `Job<_, Processing>`.
#[diagnostic::on_unimplemented(
    message = "this job is not being processed",
    label = "this is a `{Self}`; only a `Job<_, Processing>` is completed or failed",
    note = "on a `Job<_, Pending>`, first write `let job = job.start();`",
    note = "a `Job<_, Completed>` or `Job<_, Failed>` is settled already: a message is settled once"
)]
pub trait IsProcessing<M>: Sealed {
    #[doc(hidden)]
    fn into_parts(self) -> (M, Unsettled);
}

/// A job whose message is not settled yet: pending or processing.
#[diagnostic::on_unimplemented(
    message = "this job is settled",
    label = "this is a `{Self}`: its message is gone"
)]
pub trait IsUnsettled: Sealed {
    #[doc(hidden)]
    fn unsettled(&self) -> &Unsettled;
}

impl<M, S: Status> Sealed for Job<M, S> {}

impl<M> IsPending<M> for Job<M, Pending> {
    fn into_parts(self) -> (M, Unsettled) {
        (self.carried, self.held)
    }
}

impl<M> IsProcessing<M> for Job<M, Processing> {
    fn into_parts(self) -> (M, Unsettled) {
        (self.carried, self.held)
    }
}

impl<M> IsUnsettled for Job<M, Pending> {
    fn unsettled(&self) -> &Unsettled {
        &self.held
    }
}

impl<M> IsUnsettled for Job<M, Processing> {
    fn unsettled(&self) -> &Unsettled {
        &self.held
    }
}

impl Job<(), Pending> {
    /// A delivery as a job; should it fail, that policy says what becomes of it.
    #[must_use = "an unsettled job goes back to its queue: `start` it, then `complete` or `fail` it"]
    pub fn new(delivery: Delivery, on_failure: impl Into<Arc<OnFailure>>) -> Self {
        let (received, receipt) = delivery.into_parts();
        let on_failure = on_failure.into();
        Job { carried: (), held: Unsettled { received, receipt, on_failure } }
    }

    /// The same job, with its message or whatever else belongs to it.
    #[must_use = "an unsettled job goes back to its queue: `start` it, then `complete` or `fail` it"]
    pub fn with<M>(self, carried: M) -> Job<M, Pending> {
        Job { carried, held: self.held }
    }
}

impl<M, S: Status> Job<M, S> {
    /// What it carries: mostly its message.
    pub fn message(&self) -> &M {
        &self.carried
    }

    /// What it carries, and the job without it: a handler consumes a message before it is known
    /// how that ends.
    #[must_use = "an unsettled job goes back to its queue: `start` it, then `complete` or `fail` it"]
    pub fn take(self) -> (M, Job<(), S>) {
        (self.carried, Job { carried: (), held: self.held })
    }

    /// The message as it was received.
    pub fn received(&self) -> &Received
    where
        Self: IsUnsettled,
    {
        &self.unsettled().received
    }

    /// The queue that it came from.
    pub fn queue(&self) -> &str
    where
        Self: IsUnsettled,
    {
        self.unsettled().receipt.queue().as_str()
    }

    /// The number that the broker gave the delivery on its channel.
    pub fn delivery_tag(&self) -> u64
    where
        Self: IsUnsettled,
    {
        self.unsettled().receipt.delivery_tag()
    }

    /// Which attempt this is, from 1 on: the message's own count, which
    /// [`Retries`](super::Retries) keep.
    pub fn attempt(&self) -> u32
    where
        Self: IsUnsettled,
    {
        self.unsettled().attempt()
    }

    /// Begins.
    #[must_use = "an unsettled job goes back to its queue: `start` it, then `complete` or `fail` it"]
    #[rustfmt::skip]
    pub fn start(self) -> Job<M, Processing> // needs an owned `Job`: `let job = job.start();`
    where
        Self: IsPending<M>,
    {
        let (carried, held) = self.into_parts();
        Job { carried, held }
    }

    /// Puts the message back into its queue, for this consumer or another: it was not begun.
    ///
    /// # Errors
    /// As [`Delivery::requeue`].
    pub fn put_back(self) -> Result<M, Error>
    where
        Self: IsPending<M>,
    {
        let (carried, held) = self.into_parts();
        held.receipt.requeue().map(|()| carried)
    }

    /// The message was processed: acks it.
    ///
    /// # Errors
    /// As [`Delivery::ack`]: the connection was lost since, and the message comes again.
    #[rustfmt::skip]
    pub fn complete(self) -> Result<Job<M, Completed>, Error> // takes the job by value: it is settled once
    where
        Self: IsProcessing<M>,
    {
        let (carried, held) = self.into_parts();
        held.receipt.ack().map(|()| Job { carried, held: () })
    }

    /// The message was not processed: does with it what the policy says, and settles it. A message
    /// that is to be retried or parked is acked when the broker has confirmed its copy; when it does
    /// not, the message goes back to its queue after a second.
    ///
    /// Dropped in flight, the message goes back to its queue; it may be there twice then.
    ///
    /// # Errors
    /// As [`Delivery::ack`]: the connection was lost since, and the message comes again.
    #[rustfmt::skip]
    pub fn fail(self, failure: impl Into<Failure>) -> FailJob<M> // takes the job by value: it is settled once
    where
        Self: IsProcessing<M>,
    {
        let failure = failure.into();
        let (carried, held) = self.into_parts();
        let settling = Box::pin(async move { held.fail(&failure).await });
        FailJob { carried: Some(carried), settling }
    }
}

/// A job that is being failed; see [`Job::fail`]. A type of its own, so that the compiler says of a
/// wrong use once what is wrong, and not of each of its parts.
#[must_use = "futures do nothing unless awaited"]
pub struct FailJob<M> {
    carried: Option<M>,
    settling: Pin<Box<dyn Future<Output = Result<Fate, Error>> + Send + Sync>>,
}

// What it carries is moved out in the end, and pinned by nobody.
impl<M> Unpin for FailJob<M> {}

impl<M> Future for FailJob<M> {
    type Output = Result<Job<M, Failed>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.carried.is_none() {
            // Polled after completion: pending for ever, as a fused future is.
            return Poll::Pending;
        }
        let fate = ready!(self.settling.as_mut().poll(cx));
        let Some(carried) = self.carried.take() else { return Poll::Pending };
        Poll::Ready(fate.map(|fate| Job { carried, held: fate }))
    }
}

impl<M> fmt::Debug for FailJob<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailJob").finish_non_exhaustive()
    }
}

impl<M> Job<M, Failed> {
    /// What became of the message.
    pub fn fate(&self) -> Fate {
        self.held
    }
}

impl Unsettled {
    fn attempt(&self) -> u32 {
        let headers = self.received.properties().headers().unwrap_or_default();
        history::attempts_before(&headers).saturating_add(1)
    }

    async fn fail(self, failure: &Failure) -> Result<Fate, Error> {
        let attempt = self.attempt();
        let Unsettled { received, receipt, on_failure } = self;
        let failing = Failing { received, queue: receipt.queue().as_str(), attempt, failure };
        let fate = on_failure.decide(failing).await;
        match fate {
            Fate::Retried { .. } | Fate::Parked { .. } => receipt.ack(),
            Fate::Rejected => receipt.reject(),
            Fate::Requeued => receipt.requeue(),
        }?;
        Ok(fate)
    }
}

impl<M: fmt::Debug, S: Status> fmt::Debug for Job<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job<{:?}, {}>", self.carried, S::NAME)
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}
