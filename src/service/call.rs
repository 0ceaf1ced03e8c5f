//! Typed questions and answers, over direct reply-to.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_core::Stream;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{
    caught::{caught, finish},
    codec::{Codec, Decode, DecodeError, Encode, EncodeError},
    failure::Failure,
    message::Message,
    meter::Since,
    span,
};
use crate::{
    ConsumeError, Exchange, PendingReply, Received, Responder, RpcClient, RpcError,
    exchange::RouteTo,
};

/// The header of a reply that says why there is no answer.
pub const ERROR: &str = "x-hopmq-error";

/// As many questions at once, unless [`CallServer::concurrency`] says otherwise.
const CONCURRENCY: usize = 16;

/// Asks typed questions, and gets typed answers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Conn, Exchange, Queue, Responder, Uri};
/// use hopmq::service::{CallServer, Caller, Failure, Message, Text};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?.confirm_select().await?;
/// let lengths = chan.declare(Queue::server_named()).await?;
///
/// // The answering side.
/// let responder = Responder::new(chan.consume(&lengths).await?, chan.publisher());
/// tokio::spawn(CallServer::new(responder, Text).run(async |question: Message<String>| {
///     Ok::<_, Failure>(question.payload.len().to_string())
/// }));
///
/// // The asking side.
/// let client = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
/// let caller = Caller::new(client, Text);
/// let question = Message::new("apples".to_owned());
/// let default = Exchange::default_exchange();
/// let answer: Message<String> = caller.call(&default, &lengths, &question).await?;
/// assert_eq!(answer.payload, "6");
/// # Ok(()) }
/// ```
pub struct Caller<C> {
    client: RpcClient,
    codec: Arc<C>,
    within: Option<Duration>,
}

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The question cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// No reply came.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The other side has no answer, and says why.
    #[error("the other side failed: {error}")]
    Failed {
        /// What it says.
        error: String,
    },
    /// The answer cannot be read.
    #[error("the answer cannot be read")]
    Decode(#[from] DecodeError),
}

impl CallError {
    /// What kind of error it is, in one word, for metrics and traces.
    pub fn kind(&self) -> &'static str {
        match self {
            CallError::Encode(_) => "encode",
            CallError::Rpc(_) => "rpc",
            CallError::Failed { .. } => "failed",
            CallError::Decode(_) => "decode",
        }
    }
}

impl<C: Codec> Caller<C> {
    /// Asks through that client, in the codec's words.
    pub fn new(client: RpcClient, codec: C) -> Self {
        Caller { client, codec: Arc::new(codec), within: None }
    }

    /// Waits this long for an answer, instead of the time configured for calls.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline);
        self
    }

    /// Asks, and waits for the answer. The message's correlation id and reply address are the
    /// client's own.
    ///
    /// # Errors
    /// [`CallError`]. Dropped in flight, or when its deadline is over, the question may still be
    /// answered, to nobody.
    pub async fn call<'a, X, R, Q, A>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        question: &Message<Q>,
    ) -> Result<Message<A>, CallError>
    where
        R: RouteTo<'a, X>,
        C: Encode<Q> + Decode<A>,
    {
        let raw = question.encode(&*self.codec)?;
        let (since, span) = (Since::now(), span::publish(exchange.name(), None, &raw));
        let raw = span::carried(&span, raw);
        let answer = self.ask(exchange, route, raw).instrument(span.clone()).await;
        since.called(exchange.name(), &answer);
        if let Err(error) = &answer {
            span::not_answered(&span, error);
        }
        answer
    }

    async fn ask<'a, X, R, A>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        raw: crate::Message,
    ) -> Result<Message<A>, CallError>
    where
        R: RouteTo<'a, X>,
        C: Decode<A>,
    {
        let mut call = self.client.call(exchange, route, raw);
        if let Some(deadline) = self.within {
            call = call.within(deadline);
        }
        let reply = call.await?;
        match reply.properties().header(ERROR) {
            Some(error) => {
                let error = error.as_str().unwrap_or("without words").to_owned();
                Err(CallError::Failed { error })
            }
            None => Ok(Message::decode(&reply, &*self.codec)?),
        }
    }
}

impl<C> Clone for Caller<C> {
    fn clone(&self) -> Self {
        Caller { client: self.client.clone(), codec: self.codec.clone(), within: self.within }
    }
}

impl<C: Codec> fmt::Debug for Caller<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Answers typed questions, several at once.
///
/// Every question gets a reply: the answer, or why there is none: the handler's error, a panic, a
/// deadline, a question that cannot be read. The other side gets that as [`CallError::Failed`].
#[must_use = "nothing is answered until it is run"]
pub struct CallServer<Q, C> {
    responder: Responder,
    codec: Arc<C>,
    concurrency: usize,
    deadline: Option<Duration>,
    question: PhantomData<fn() -> Q>,
}

impl<Q, C: Codec> CallServer<Q, C> {
    /// Answers the requests of that responder.
    pub fn new(responder: Responder, codec: C) -> Self {
        let codec = Arc::new(codec);
        CallServer {
            responder,
            codec,
            concurrency: CONCURRENCY,
            deadline: None,
            question: PhantomData,
        }
    }

    /// So many questions are answered at once at most, 16 by itself; at least one.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// A handler that takes longer is dropped, and the other side told.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Answers until the consumer of questions ends.
    ///
    /// # Errors
    /// Why it ended, if this program did not cancel it.
    pub async fn run<A, H, F, E>(self, handler: H) -> Result<(), ConsumeError>
    where
        Q: Send + 'static,
        A: Send + Sync + 'static,
        C: Decode<Q> + Encode<A>,
        H: Fn(Message<Q>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send,
        E: Into<Failure>,
    {
        self.run_until(handler, pending()).await
    }

    /// Answers until the consumer of questions ends, or `stop` is ready: then what was begun is
    /// answered, and the rest goes back to the queue. Handlers end by their
    /// [deadline](CallServer::deadline), if they have one.
    ///
    /// # Errors
    /// Why the consumer ended, if this program did not cancel it.
    pub async fn run_until<A, H, F, E>(
        self,
        handler: H,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ConsumeError>
    where
        Q: Send + 'static,
        A: Send + Sync + 'static,
        C: Decode<Q> + Encode<A>,
        H: Fn(Message<Q>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send,
        E: Into<Failure>,
    {
        let CallServer { mut responder, codec, concurrency, deadline, .. } = self;
        let (handler, mut tasks) = (Arc::new(handler), JoinSet::new());
        let mut stop = pin!(stop);
        let ended = loop {
            let next = poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                while let Poll::Ready(Some(_)) = tasks.poll_join_next(cx) {}
                if tasks.len() >= concurrency {
                    return Poll::Pending;
                }
                Pin::new(&mut responder).poll_next(cx)
            });
            match next.await {
                None => break Ok(()),
                // They were rejected; the consumer goes on.
                Some(Err(ConsumeError::TooLarge { .. } | ConsumeError::HeadersTooLarge { .. })) => {
                }
                Some(Err(error)) => break Err(error),
                Some(Ok(request)) => {
                    let (codec, handler) = (codec.clone(), handler.clone());
                    tasks.spawn(async move {
                        let (received, pending) = request.into_parts();
                        let queue = pending.queue().as_str();
                        let span = span::process(&received, queue, pending.delivery_tag());
                        let answering = async {
                            let question = read(&received, &*codec)?;
                            let handle = || async { handler(question).await.map_err(Into::into) };
                            finish(deadline, handle).await
                        };
                        let answer = answering.instrument(span.clone()).await;
                        if let Err(failure) = &answer {
                            span::failed(&span, failure);
                        }
                        reply(pending, answer, &*codec).instrument(span).await;
                    });
                }
            }
        };
        drop(responder);
        while tasks.join_next().await.is_some() {}
        ended
    }
}

fn read<Q, C: Decode<Q>>(received: &Received, codec: &C) -> Result<Message<Q>, Failure> {
    let question = caught(|| Message::decode(received, codec)).map_err(Failure::permanent)?;
    question.map_err(Failure::permanent)
}

async fn reply<A, C: Encode<A>>(pending: PendingReply, answer: Result<A, Failure>, codec: &C) {
    let encoded = answer.and_then(|answer| {
        let encoded = caught(|| Message::new(answer).encode(codec)).map_err(Failure::permanent)?;
        encoded.map_err(Failure::permanent)
    });
    let message = encoded.unwrap_or_else(|failure| {
        tracing::warn!(%failure, "a question has no answer");
        crate::Message::default().header(ERROR, failure.to_string())
    });
    if let Err(error) = pending.reply(message).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "not answered: the question went back to the queue");
    }
}

impl<Q, C> fmt::Debug for CallServer<Q, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallServer")
            .field("responder", &self.responder)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
