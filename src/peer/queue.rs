//! The handles of a queue between brokers: `MessageQueue<Open>` and `MessageQueue<Closed>`.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::{
    error::{End, SendError, Unsent},
    shared::Shared,
};
use crate::{
    chan::{Closed, Open},
    message::Message,
    sealed::Sealed,
};

/// Names a queue; both sides know it by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub(super) u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A state of [`MessageQueue`].
pub trait QueueState: Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: &'static str;
}

impl QueueState for Open {
    const NAME: &'static str = "Open";
}

impl QueueState for Closed {
    const NAME: &'static str = "Closed";
}

/// A queue that was opened: `MessageQueue<Open>`. It sends, receives and closes.
#[diagnostic::on_unimplemented(
    message = "this queue is closed",
    label = "this is a `{Self}`; this call needs a `MessageQueue<Open>`",
    note = "to go on with another queue, write `let queue = peer.connect(\"shop\").at(config).await?;`",
    note = "what was not sent is in the closed one: `queue.into_unsent()`"
)]
pub trait IsOpenQueue: Sealed {}
impl IsOpenQueue for MessageQueue<Open> {}

/// A queue that was closed: `MessageQueue<Closed>`.
#[diagnostic::on_unimplemented(
    message = "this queue is open",
    label = "this is a `{Self}`; this call needs a `MessageQueue<Closed>`",
    note = "first write `let queue = queue.close().await;`; when the other side ended it, `queue.into_closed()`"
)]
pub trait IsClosedQueue: Sealed {}
impl IsClosedQueue for MessageQueue<Closed> {}

impl Sealed for MessageQueue<Open> {}
impl Sealed for MessageQueue<Closed> {}

/// One side of a queue between two brokers, in the state `S`.
///
/// Both sides send and receive. Messages arrive once and in the order in which they were sent,
/// whatever happens to the way between, while both programs live; see the [module](super) for what
/// holds exactly.
///
/// Not `Clone`: a clone would keep a stale state. Calls go through `&`, so it is shared by reference
/// or in an `Arc`; what only sends takes a [`QueueSender`]. Dropping it ends the queue by force.
///
#[doc = include_str!("../table/queue.svg")]
pub struct MessageQueue<S: QueueState> {
    guard: Guard,
    state: PhantomData<fn() -> S>,
}

/// Ends the queue with its handle.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S: QueueState> MessageQueue<S> {
    fn with_state<T: QueueState>(self) -> MessageQueue<T> {
        MessageQueue { guard: self.guard, state: PhantomData }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.guard.0
    }

    /// Names the queue; the other side calls it the same.
    pub fn id(&self) -> QueueId {
        self.shared().id
    }

    /// The other side's name.
    pub fn peer(&self) -> &str {
        &self.shared().peer
    }

    /// How the queue ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.shared().end()
    }
}

impl MessageQueue<Open> {
    pub(super) fn opened(shared: Arc<Shared>) -> Self {
        MessageQueue { guard: Guard(shared), state: PhantomData }
    }
}

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc`.
impl<S: QueueState> MessageQueue<S> {
    /// Puts a message into the queue. It waits while the queue is full: the other side takes its
    /// time. Whoever waits first sends first.
    ///
    /// Awaited, it gives a [`Sent`], the future of the outcome. Dropped before it is ready, the
    /// message was not sent.
    ///
    /// # Errors
    /// [`SendError`] with the message: no room in time, too large, or the queue has ended.
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_>
    where
        Self: IsOpenQueue,
    {
        Sending { future: Box::pin(self.shared().send(message.into())) }
    }

    /// The next message; `None` when the queue has ended, and [`end`](MessageQueue::end) says how.
    /// Taking it confirms it to the sender.
    ///
    /// Dropping the future loses nothing. Several may wait; whoever waits first receives first.
    pub fn receive(&self) -> Receiving<'_>
    where
        Self: IsOpenQueue,
    {
        Receiving { future: Box::pin(self.shared().receive()) }
    }

    /// Messages that were sent and that the other side has not taken yet.
    pub fn unconfirmed(&self) -> usize
    where
        Self: IsOpenQueue,
    {
        self.shared().unconfirmed()
    }

    /// Messages that have arrived and wait to be received.
    pub fn waiting(&self) -> usize
    where
        Self: IsOpenQueue,
    {
        self.shared().waiting()
    }

    /// Mints a clonable handle that sends and does nothing else.
    pub fn sender(&self) -> QueueSender
    where
        Self: IsOpenQueue,
    {
        QueueSender { shared: self.shared().clone() }
    }

    /// Waits until the queue has ended, and says how. Dropping it changes nothing.
    pub fn ended(&self) -> Ended<'_>
    where
        Self: IsOpenQueue,
    {
        let shared = self.shared();
        let future = async {
            shared.until_over().await;
            shared.end().unwrap_or(End::Closed)
        };
        Ended { future: Box::pin(future) }
    }

    /// Closes the queue: what was sent goes out and is taken by the other side first, then the
    /// other side is told. What has arrived here and was not received is not confirmed: it goes
    /// back to the other side's program.
    ///
    /// When the other side does not take everything within
    /// [`Settings::drain_timeout`](super::Settings::drain_timeout), the queue ends by force, and
    /// [`end`](MessageQueue::end) says so. Either way it is closed.
    ///
    /// Of a queue that the other side closed, this waits until the other side knows that everything
    /// was taken: call it before the program ends.
    #[rustfmt::skip]
    pub fn close(self) -> ClosingQueue // needs an owned `MessageQueue`: `let queue = queue.close().await;`
    where
        Self: IsOpenQueue,
    {
        let future = async move {
            self.shared().close().await;
            self.with_state()
        };
        ClosingQueue { future: Box::pin(future) }
    }

    /// Ends the queue by force, at once: what the other side has not confirmed yet comes back to
    /// the senders.
    #[rustfmt::skip]
    pub fn abort(self) -> MessageQueue<Closed> // needs an owned `MessageQueue`: `let queue = queue.abort();`
    where
        Self: IsOpenQueue,
    {
        self.shared().abort();
        self.with_state()
    }

    /// Turns a queue that has ended by itself into a `MessageQueue<Closed>`.
    ///
    /// # Errors
    /// The queue itself, when it is open.
    #[rustfmt::skip]
    pub fn into_closed(self) -> Result<MessageQueue<Closed>, Self> // needs an owned `MessageQueue`, and gives one back
    where
        Self: IsOpenQueue,
    {
        match self.end() {
            Some(_) => Ok(self.with_state()),
            None => Err(self),
        }
    }

    /// The messages that came back and whose [`Sent`] nobody awaits, in the order in which they
    /// were sent.
    #[rustfmt::skip]
    pub fn into_unsent(self) -> Vec<Unsent> // of a closed queue: `queue.close().await.into_unsent()`
    where
        Self: IsClosedQueue,
    {
        self.shared().take_unsent()
    }
}

impl<S: QueueState> fmt::Debug for MessageQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageQueue<{}>({} with {})", S::NAME, self.id(), self.peer())
    }
}

/// Writes a named future, so that the compiler names it, and complains once.
macro_rules! future {
    ($(#[$attribute:meta])* $name:ident $(<$life:lifetime>)? -> $output:ty) => {
        $(#[$attribute])*
        pub struct $name $(<$life>)? {
            future: Pin<Box<dyn Future<Output = $output> + Send + Sync $(+ $life)?>>,
        }

        impl $(<$life>)? Future for $name $(<$life>)? {
            type Output = $output;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.future.as_mut().poll(cx)
            }
        }

        impl $(<$life>)? fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

future! {
    /// A message on its way into a queue; see [`MessageQueue::send`].
    #[must_use = "nothing is sent until this is awaited"]
    Sending<'a> -> Result<Sent, SendError>
}

future! {
    /// The next message; see [`MessageQueue::receive`].
    #[must_use = "nothing is received until this is awaited"]
    Receiving<'a> -> Option<Message>
}

future! {
    /// The end of a queue; see [`MessageQueue::ended`].
    #[must_use = "futures do nothing unless awaited"]
    Ended<'a> -> End
}

future! {
    /// A queue that is being closed, as a future that owns it.
    ///
    /// Dropped, the queue ends by force.
    #[must_use = "nothing is closed until this is awaited; dropped, the queue ends by force"]
    ClosingQueue -> MessageQueue<Closed>
}

/// A handle on a queue that sends and does nothing else. Clones share the queue's room; they do not
/// keep it open.
#[derive(Clone)]
pub struct QueueSender {
    shared: Arc<Shared>,
}

impl QueueSender {
    /// Puts a message into the queue, as [`MessageQueue::send`] does.
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_> {
        Sending { future: Box::pin(self.shared.send(message.into())) }
    }

    /// How the queue ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.shared.end()
    }
}

impl fmt::Debug for QueueSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueSender({} with {})", self.shared.id, self.shared.peer)
    }
}

/// The future outcome of one message: `Ok` when the program on the other side has taken it.
///
/// It is ready at the latest when the queue has ended. Dropped, the message is still sent; if it
/// comes back, [`MessageQueue::into_unsent`] has it.
///
/// # Errors
/// [`Unsent`], which gives the message back.
#[must_use = "without awaiting it, nobody knows whether the message was taken"]
#[derive(Debug)]
pub struct Sent {
    outcome: Option<oneshot::Receiver<Result<(), Unsent>>>,
}

impl Sent {
    pub(super) fn new(outcome: oneshot::Receiver<Result<(), Unsent>>) -> Self {
        Sent { outcome: Some(outcome) }
    }
}

impl Future for Sent {
    type Output = Result<(), Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Each message is settled once, before its queue goes; polled again, it has no more to say.
        let Some(outcome) = &mut self.outcome else { return Poll::Pending };
        match ready!(Pin::new(outcome).poll(cx)) {
            Ok(settled) => {
                self.outcome = None;
                Poll::Ready(settled)
            }
            Err(_) => Poll::Pending,
        }
    }
}
