//! Remote procedure calls over direct reply-to (<https://www.rabbitmq.com/docs/direct-reply-to>).
//!
//! The asking side is [`RpcClient`], the answering side [`Responder`]. The reply address is never
//! said by the user: the client owns its reply consumer, and a reply goes where its request says.

mod calls;
mod responder;

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    runtime,
    task::AbortHandle,
    time::{Sleep, sleep},
};

use self::calls::Calls;
pub use self::responder::{PendingReply, Replied, ReplyError, Request, Responder, ServeError};
use crate::{
    call::Call,
    capability::InConfirmMode,
    chan::{Chan, ChanInner, ChanState},
    confirm::Confirm,
    consumer::{AutomaticConsumer, consume_replies},
    error::{ConsumeError, Error, Unconfirmed},
    exchange::{Exchange, RouteTo},
    message::{Message, Received},
    proto::Loss,
    publish::Publish,
};

/// How many calls wait for their replies at once, unless [`StartRpc::max_calls`] says otherwise.
const DEFAULT_MAX_CALLS: usize = 1024;

impl<S: ChanState> Chan<S> {
    /// Makes the channel an [`RpcClient`], which owns it: a channel has one reply consumer.
    ///
    /// # Errors
    /// Why the channel ended; then nothing remains of it.
    #[rustfmt::skip]
    pub fn rpc_client(self) -> StartRpc // needs an owned `Chan`: `let client = chan.rpc_client().await?;`
    where
        Self: InConfirmMode,
    {
        let chan = self.inner().clone();
        StartRpc { call: consume_replies(chan.clone()), chan, max_calls: DEFAULT_MAX_CALLS }
    }
}

/// Asks, and gets replies: a client of remote procedure calls over direct reply-to.
///
/// It owns a confirming channel and its reply consumer. Each call gets a correlation id of its own
/// and ends at its deadline; a request that no queue takes fails at once instead of waiting for it.
/// Clones share the channel; many calls wait at once, up to [`StartRpc::max_calls`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use std::time::Duration;
/// use hopmq::{Conn, Exchange, Message, Queue, Responder, Uri};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?.confirm_select().await?;
/// let squares = chan.declare(Queue::server_named()).await?;
///
/// // The answering side.
/// let responder = Responder::new(chan.consume(&squares).await?, chan.publisher());
/// tokio::spawn(responder.serve(|request| async move {
///     let number = request.body().into_bytes()[0];
///     Message::new([number * number])
/// }));
///
/// // The asking side.
/// let client = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
/// let default = Exchange::default_exchange();
/// let call = client.call(&default, &squares, [7]).within(Duration::from_secs(5));
/// assert_eq!(call.await?.body().into_bytes(), [49][..]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "the reply consumer is cancelled when the last handle is dropped"]
pub struct RpcClient {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Hands replies to their calls; it owns the reply consumer.
    task: AbortHandle,
}

struct Shared {
    chan: Arc<ChanInner>,
    calls: Mutex<Calls>,
    next: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing panics while it holds the lock.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RpcClient {
    /// Sends a request and waits for its reply.
    ///
    /// The message's correlation id and reply address are the client's own: what was set there is
    /// replaced. What the exchange takes as a route is as for [`Chan::publish`]; to ask a queue,
    /// use the default exchange and the queue's token.
    ///
    /// # Errors
    /// [`RpcError`]. A call that is dropped, or whose deadline is over, is forgotten: a reply that
    /// arrives later is ignored. Its request may still be processed.
    pub fn call<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        request: impl Into<Message>,
    ) -> RpcCall<'a>
    where
        R: RouteTo<'a, X>,
    {
        let shared = &self.inner.shared;
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let message = request.into().asking_for_reply(number);
        let publish = Publish::on(&shared.chan, exchange, route, message).mandatory();
        let after = shared.chan.handle.call_timeout();
        RpcCall { shared, number, after, deadline: None, step: Step::Waiting(publish) }
    }

    /// How many calls wait for their replies.
    pub fn outstanding(&self) -> usize {
        self.inner.shared.calls().outstanding()
    }

    /// How many replies were ignored: nobody waited for them any more, or they answered nothing.
    pub fn ignored_replies(&self) -> u64 {
        self.inner.shared.calls().ignored()
    }

    /// Why the client ended, if it has. Then every call says the same.
    pub fn close_reason(&self) -> Option<Error> {
        let calls = self.inner.shared.calls();
        calls.ended().cloned()
    }
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient")
            .field("outstanding", &self.outstanding())
            .field("ignored_replies", &self.ignored_replies())
            .finish_non_exhaustive()
    }
}

/// Why a call got no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The request was not sent.
    #[error("the request was not sent")]
    NotSent(#[source] Error),
    /// The broker did not take the request: no queue is there for it, it was refused, or the
    /// connection was lost before the broker said.
    #[error("the request did not arrive")]
    Unconfirmed(#[source] Unconfirmed),
    /// No reply came in time. The request may be processed still.
    #[error("no reply within {after:?}")]
    NoReply {
        /// The deadline.
        after: Duration,
    },
    /// The client ended before the reply came.
    #[error("the client ended")]
    Ended(#[source] Error),
}

/// An [`RpcClient`] that is being made, as a future that owns the channel.
///
/// Dropped in flight, it closes the channel unless another handle of it lives.
#[must_use = "nothing is sent until this is awaited"]
#[derive(Debug)]
pub struct StartRpc {
    call: Call<AutomaticConsumer>,
    chan: Arc<ChanInner>,
    max_calls: usize,
}

impl StartRpc {
    /// At most so many calls wait for their replies at once, 1024 by itself; further ones wait
    /// their turn, in order and within their deadlines. At least one.
    pub fn max_calls(mut self, count: usize) -> Self {
        self.max_calls = count.max(1);
        self
    }
}

impl Future for StartRpc {
    type Output = Result<RpcClient, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replies = ready!(Pin::new(&mut self.call).poll(cx))?;
        let runtime = runtime::Handle::try_current().map_err(|error| Error::Network {
            loss: Loss::Unreachable,
            source: Some(Arc::new(io::Error::other(error))),
        })?;
        let shared = Arc::new(Shared {
            chan: self.chan.clone(),
            calls: Mutex::new(Calls::new(self.max_calls)),
            next: AtomicU64::new(1),
        });
        let task = runtime.spawn(hand_out(replies, shared.clone())).abort_handle();
        Poll::Ready(Ok(RpcClient { inner: Arc::new(Inner { shared, task }) }))
    }
}

/// Hands each reply to the call that waits for it, until the reply consumer ends.
async fn hand_out(mut replies: AutomaticConsumer, shared: Arc<Shared>) {
    let mut reason = Error::Closed;
    while let Some(next) = replies.next().await {
        match next {
            Ok(reply) => {
                let waker = shared.calls().arrived(reply);
                waker.into_iter().for_each(Waker::wake);
            }
            // Its body is gone; the call ends at its deadline.
            Err(
                ConsumeError::TooLarge { size, .. } | ConsumeError::HeadersTooLarge { size, .. },
            ) => {
                tracing::warn!(size, "a reply is over the limit and was discarded");
                shared.calls().ignore();
            }
            Err(error) => reason = error.into(),
        }
    }
    let wakers = shared.calls().end(reason);
    wakers.into_iter().for_each(Waker::wake);
}

/// A call that waits for its reply.
///
/// *Before the first poll* nothing was sent. Dropped, the call is forgotten and its place is free.
#[must_use = "nothing is sent until the call is awaited"]
#[derive(Debug)]
pub struct RpcCall<'a> {
    shared: &'a Shared,
    number: u64,
    after: Duration,
    /// Made at the first poll.
    deadline: Option<Pin<Box<Sleep>>>,
    step: Step<'a>,
}

#[derive(Debug)]
enum Step<'a> {
    /// For a place among the calls.
    Waiting(Publish<'a>),
    Sending(Publish<'a>),
    /// The confirm is kept until it has said that the request arrived.
    Sent(Option<Confirm>),
    Over,
}

impl RpcCall<'_> {
    /// Waits this long for the reply, instead of the time configured for calls.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.after = deadline;
        self
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RpcError>> {
        loop {
            match std::mem::replace(&mut self.step, Step::Over) {
                Step::Waiting(publish) => {
                    let placed = self.shared.calls().poll_place(self.number, cx.waker());
                    if placed.is_pending() {
                        self.step = Step::Waiting(publish);
                        return Poll::Pending;
                    }
                    ready!(placed).map_err(RpcError::Ended)?;
                    // From here on this call's own deadline counts.
                    self.step = Step::Sending(publish.within(self.after));
                }
                Step::Sending(mut publish) => match Pin::new(&mut publish).poll(cx) {
                    Poll::Ready(Ok(confirm)) => self.step = Step::Sent(Some(confirm)),
                    Poll::Ready(Err(failed)) => {
                        return Poll::Ready(Err(RpcError::NotSent(failed.into())));
                    }
                    Poll::Pending => {
                        self.step = Step::Sending(publish);
                        return Poll::Pending;
                    }
                },
                Step::Sent(confirm) => {
                    let reply = self.shared.calls().poll_reply(self.number, cx.waker());
                    if let Poll::Ready(reply) = reply {
                        return Poll::Ready(reply.map_err(RpcError::Ended));
                    }
                    let confirm = self.poll_confirm(confirm, cx)?;
                    self.step = Step::Sent(confirm);
                    return Poll::Pending;
                }
                Step::Over => return Poll::Pending,
            }
        }
    }

    /// Whether the request did not arrive. The confirm is over once it has said.
    fn poll_confirm(
        &self,
        confirm: Option<Confirm>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Confirm>, RpcError> {
        let Some(mut confirm) = confirm else { return Ok(None) };
        let Poll::Ready(outcome) = Pin::new(&mut confirm).poll(cx) else {
            return Ok(Some(confirm));
        };
        match outcome.map_err(|error| error.into_parts().0) {
            // A slow confirm: the reply may come all the same.
            Ok(()) | Err(Unconfirmed::Unknown(Error::Timeout { .. })) => Ok(None),
            Err(reason) => Err(RpcError::Unconfirmed(reason)),
        }
    }

    fn leave(&mut self) {
        self.step = Step::Over;
        let waker = self.shared.calls().leave(self.number);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Future for RpcCall<'_> {
    type Output = Result<Received, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.step, Step::Over) {
            // Polled after completion: pending for ever, as a fused future is.
            return Poll::Pending;
        }
        let mut reply = this.poll_reply(cx);
        if reply.is_pending() {
            let after = this.after;
            let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(after)));
            if deadline.as_mut().poll(cx).is_ready() {
                reply = Poll::Ready(Err(RpcError::NoReply { after }));
            }
        }
        if reply.is_ready() {
            this.leave();
        }
        reply
    }
}

impl Drop for RpcCall<'_> {
    fn drop(&mut self) {
        if !matches!(self.step, Step::Over) {
            self.leave();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
