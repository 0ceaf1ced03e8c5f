//! The answering side of remote procedure calls.

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::{
    confirm::ConfirmError,
    consumer::{Consumer, Next},
    delivery::{Delivery, Receipt},
    error::{ConsumeError, Error, Failed, Unconfirmed},
    exchange::Exchange,
    message::{Message, Received},
    proto::DIRECT_REPLY_TO,
    publisher::Publisher,
    wire::ShortString,
};

/// Answers: a stream of [`Request`]s, or a [loop](Responder::serve) around a handler.
///
/// A delivery without a reply address cannot be answered: it is rejected, which dead-letters it
/// where the queue says so, with a warning.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Confirming>, work: hopmq::Queue<hopmq::Quorum>) -> Result<(), Box<dyn std::error::Error>> {
/// use hopmq::{Message, Responder};
///
/// // Many requests at once: a task for each, as many as the prefetch allows.
/// let requests = chan.consume(&work).prefetch(16).await?;
/// let mut responder = Responder::new(requests, chan.publisher());
/// while let Some(request) = responder.next().await {
///     let request = request?;
///     tokio::spawn(async move {
///         let reply = Message::text(format!("{} bytes", request.body_len()));
///         if let Err(error) = request.reply(reply).await {
///             eprintln!("not answered: {error}");
///         }
///     });
/// }
/// # Ok(()) }
/// ```
#[must_use = "the consumer is cancelled when this is dropped"]
#[derive(Debug)]
pub struct Responder {
    requests: Consumer,
    replies: Publisher,
}

impl Responder {
    /// Answers the requests of a consumer through a publisher, which may be of the same channel.
    pub fn new(requests: Consumer, replies: Publisher) -> Self {
        Responder { requests, replies }
    }

    #[allow(clippy::should_implement_trait)] // As `StreamExt::next`, without the import.
    /// The next request; `None` after the end. Dropping the future loses nothing.
    pub fn next(&mut self) -> Next<'_, Self> {
        Next::of(self)
    }

    /// Answers one request after the other with what the handler makes of it, until the consumer
    /// ends. For many at once, take the requests from the stream.
    ///
    /// Dropped while the handler runs, the request goes back to the queue. So it does when the reply
    /// is not taken, or the connection was lost meanwhile: that is logged, and the next one comes.
    ///
    /// # Errors
    /// Why the consumer ended, or the channel that replies.
    pub async fn serve<H, F>(mut self, mut handler: H) -> Result<(), ServeError>
    where
        H: FnMut(Received) -> F,
        F: Future<Output = Message>,
    {
        while let Some(request) = self.next().await {
            let (request, pending) = match request {
                Ok(request) => request.into_parts(),
                // It was rejected; the consumer goes on.
                Err(ConsumeError::TooLarge { .. } | ConsumeError::HeadersTooLarge { .. }) => {
                    continue;
                }
                Err(error) => return Err(ServeError::Consumer(error)),
            };
            let reply = handler(request).await;
            if let Err(error) = pending.reply(reply).await {
                // The channel that replies is dead for good: no other reply would get through.
                if self.replies.close_reason().is_some() {
                    return Err(ServeError::Reply(error));
                }
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "not answered: the request went back to the queue");
            }
        }
        Ok(())
    }
}

impl Stream for Responder {
    type Item = Result<Request, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let delivery = match ready!(Pin::new(&mut self.requests).poll_next(cx)) {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            match Request::new(delivery, &self.replies) {
                Ok(request) => return Poll::Ready(Some(Ok(request))),
                Err(delivery) => {
                    tracing::warn!(?delivery, "rejected: a request without a reply address");
                    // On a dead channel the broker has put it back already.
                    let _ = delivery.reject();
                }
            }
        }
    }
}

/// A request that is to be answered: [`reply`](Request::reply), once, by value.
///
/// The reply goes to the address that came with it. One that is dropped unanswered goes back to
/// the queue, with a warning.
#[must_use = "an unanswered request goes back to the queue"]
pub struct Request {
    received: Received,
    pending: PendingReply,
}

/// The duty to answer one request, apart from its message; see [`Request::into_parts`].
#[must_use = "an unanswered request goes back to the queue"]
pub struct PendingReply {
    receipt: Receipt,
    replies: Publisher,
    address: ShortString,
    correlation: Option<ShortString>,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replied {
    /// The broker took it.
    Taken,
    /// The queue that it should go to is gone. Of direct reply-to RabbitMQ does not tell: a reply
    /// whose requester is gone counts as taken there.
    NobodyWaits,
}

/// A reply that was not taken by the broker; the request went back to the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It was not sent.
    #[error("the reply was not sent")]
    NotSent(#[source] Failed<Message>),
    /// The broker refused it, or the outcome is unknown.
    #[error("the reply was not confirmed")]
    Unconfirmed(#[source] ConfirmError),
    /// The reply was taken, but the request could not be settled: the broker has requeued it.
    #[error("the reply was sent, but its request went back to the queue")]
    Unsettled(#[source] Error),
}

/// Why [`Responder::serve`] ended that was not cancelled by this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The consumer of requests ended.
    #[error("the consumer of requests ended")]
    Consumer(#[source] ConsumeError),
    /// A reply was not taken by the broker.
    #[error("a reply was not taken")]
    Reply(#[source] ReplyError),
}

impl Request {
    /// A request of a delivery that says where its reply goes.
    ///
    /// # Errors
    /// The delivery, when it says nothing: nobody waits for a reply.
    #[allow(clippy::result_large_err)] // It is the delivery itself, to be settled.
    pub fn new(delivery: Delivery, replies: &Publisher) -> Result<Self, Delivery> {
        let properties = delivery.raw_properties();
        let Some(address) = properties.reply_to.filter(|to| !to.is_empty()) else {
            return Err(delivery);
        };
        let address = ShortString::from_short_lossy(address);
        let correlation = properties.correlation_id.map(ShortString::from_short_lossy);
        let (received, receipt) = delivery.into_parts();
        let pending = PendingReply { receipt, replies: replies.clone(), address, correlation };
        Ok(Request { received, pending })
    }

    /// Sends the reply and waits until the broker has taken it; then the request is acked.
    ///
    /// A direct reply on the channel that the request came on takes the ack with it: in order, so
    /// that no request is settled whose reply did not get through.
    ///
    /// The reply's correlation id is the request's. When the reply's queue is gone, the request is
    /// acked all the same: [`Replied::NobodyWaits`].
    ///
    /// # Errors
    /// [`ReplyError`]; the request went back to the queue.
    pub async fn reply(self, reply: impl Into<Message>) -> Result<Replied, ReplyError> {
        self.pending.reply(reply).await
    }

    /// Refuses the request for good; its requester waits until its deadline.
    ///
    /// # Errors
    /// As [`Delivery::reject`].
    pub fn reject(self) -> Result<(), Error> {
        self.pending.reject()
    }

    /// Puts the request back into the queue, for another responder.
    ///
    /// # Errors
    /// As [`Delivery::requeue`].
    pub fn requeue(self) -> Result<(), Error> {
        self.pending.requeue()
    }

    /// The request and, apart from it, the duty to answer it.
    pub fn into_parts(self) -> (Received, PendingReply) {
        (self.received, self.pending)
    }
}

impl PendingReply {
    /// The queue that the request came from.
    pub fn queue(&self) -> &ShortString {
        self.receipt.queue()
    }

    /// The number that the broker gave the request on its channel.
    pub fn delivery_tag(&self) -> u64 {
        self.receipt.delivery_tag()
    }

    /// See [`Request::reply`].
    ///
    /// # Errors
    /// As [`Request::reply`].
    pub async fn reply(self, reply: impl Into<Message>) -> Result<Replied, ReplyError> {
        let PendingReply { receipt, replies, address, correlation } = self;
        let default = Exchange::default_exchange();
        let reply = reply.into().answering(correlation);
        let mut publish = replies.publish(&default, &address, reply);
        // Mandatory, so that the broker returns a reply whose queue is gone. RabbitMQ returns every
        // mandatory direct reply, also one that it has delivered.
        let is_direct = address.as_str().starts_with(DIRECT_REPLY_TO);
        if !is_direct {
            publish = publish.mandatory();
        }
        let confirm = match publish.await {
            Ok(confirm) => confirm,
            Err(error) => {
                // On a dead channel the broker has put it back already.
                let _ = receipt.requeue();
                return Err(ReplyError::NotSent(error));
            }
        };
        // The broker handles a channel's methods in order: an ack right behind a direct reply, which
        // no queue keeps, is as safe as one that waits for the confirm, and they leave together.
        let (receipt, acked) = match is_direct && replies.is_on(receipt.chan()) {
            true => (None, receipt.ack()),
            false => (Some(receipt), Ok(())),
        };
        let replied = match confirm.await {
            Ok(()) => Replied::Taken,
            Err(error) if matches!(error.reason(), Unconfirmed::Returned { .. }) => {
                Replied::NobodyWaits
            }
            Err(error) => {
                // As above.
                let _ = receipt.map(Receipt::requeue);
                return Err(ReplyError::Unconfirmed(error));
            }
        };
        let acked = receipt.map_or(acked, Receipt::ack);
        acked.map(|()| replied).map_err(ReplyError::Unsettled)
    }

    /// See [`Request::reject`].
    ///
    /// # Errors
    /// As [`Delivery::reject`].
    pub fn reject(self) -> Result<(), Error> {
        self.receipt.reject()
    }

    /// See [`Request::requeue`].
    ///
    /// # Errors
    /// As [`Delivery::requeue`].
    pub fn requeue(self) -> Result<(), Error> {
        self.receipt.requeue()
    }
}

impl Deref for Request {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.received
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("reply_to", &self.pending.address.as_str())
            .field("message", &self.received)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PendingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply")
            .field("reply_to", &self.address.as_str())
            .finish_non_exhaustive()
    }
}
