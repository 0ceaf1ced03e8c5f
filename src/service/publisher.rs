//! A publisher as a service: typed messages, at least once.

use std::{fmt, sync::Arc, time::Duration};

use tracing::{Instrument, Span};

use super::{
    codec::{Codec, Encode, EncodeError},
    message::Message,
    meter::Since,
    span,
};
use crate::{
    Confirm, ConfirmError, Error, Exchange, Unconfirmed, exchange::RouteTo, wire::ReplyCode,
};

/// How often a message that the broker refuses is sent again, unless [`Publisher::resend`] says
/// otherwise, and how long it waits before.
const RESENDS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Publishes typed messages to an exchange, at least once.
///
/// A message is kept until the broker has confirmed it: it is sent again after a lost connection,
/// and when the broker refuses it (a full queue), each time with the same
/// [id](Message::id), by which its consumer knows it again ([`Once`](super::Once)). It is mandatory:
/// one that no queue takes is an error, not lost in silence.
///
/// Clones share the channel.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Conn, Exchange, Queue, Uri};
/// use hopmq::service::{Message, Publisher, Text};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?.confirm_select().await?;
/// let orders = chan.declare(Exchange::topic("orders")).await?;
/// let inbox = chan.declare(Queue::quorum("inbox")).await?;
/// chan.bind(&inbox, &orders, "order.#").await?;
///
/// let publisher = Publisher::new(chan.publisher(), orders, Text);
/// publisher.publish("order.eu", &Message::new("12 apples".to_owned())).await?;
///
/// let more = ["7 pears", "1 plum"].map(|what| Message::new(what.to_owned()));
/// publisher.publish_all(more.iter().map(|message| ("order.us", message))).await?;
/// assert_eq!(chan.counts(&inbox).await?.messages, 3);
/// # Ok(()) }
/// ```
pub struct Publisher<X, C> {
    publisher: crate::Publisher,
    exchange: Exchange<X>,
    codec: Arc<C>,
    resends: u32,
    pause: Duration,
}

/// A message was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Its payload cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It was not sent.
    #[error("the message was not sent")]
    NotSent(#[source] Error),
    /// No queue took it.
    #[error("no queue took the message: {code} \"{text}\"")]
    Returned {
        /// The reply code, 312 for "no route".
        code: ReplyCode,
        /// The broker's text.
        text: Arc<str>,
    },
    /// The broker refused it every time.
    #[error("the broker refused the message {times} times")]
    Refused {
        /// How often.
        times: u32,
    },
    /// It may or may not have arrived: the connection ended for good, or the broker did not answer
    /// in time. Published again with the same id, it is told by its consumer.
    #[error("whether the message arrived is unknown")]
    Unknown(#[source] Error),
}

impl PublishError {
    /// What kind of error it is, in one word, for metrics and traces.
    pub fn kind(&self) -> &'static str {
        match self {
            PublishError::Encode(_) => "encode",
            PublishError::NotSent(_) => "not_sent",
            PublishError::Returned { .. } => "returned",
            PublishError::Refused { .. } => "refused",
            PublishError::Unknown(_) => "unknown",
        }
    }
}

/// Some messages of several were not published.
#[derive(Debug, thiserror::Error)]
#[error("{} of {count} messages were not published", .failed.len())]
pub struct PublishAllError {
    /// How many there were.
    pub count: usize,
    /// Which were not published, by their place among all, and why.
    pub failed: Vec<(usize, PublishError)>,
}

impl<X, C: Codec> Publisher<X, C> {
    /// Publishes to that exchange, in the codec's words.
    pub fn new(publisher: impl Into<crate::Publisher>, exchange: Exchange<X>, codec: C) -> Self {
        let (codec, publisher) = (Arc::new(codec), publisher.into());
        Publisher { publisher, exchange, codec, resends: RESENDS, pause: PAUSE }
    }

    /// Sends a message that the broker refused again so many times, 3 by itself, each time after
    /// that pause, a tenth of a second by itself.
    pub fn resend(mut self, times: u32, pause: Duration) -> Self {
        self.resends = times;
        self.pause = pause;
        self
    }

    /// Why the channel ended, if it has. Then every publish says the same.
    pub fn close_reason(&self) -> Option<Error> {
        self.publisher.close_reason()
    }

    /// Publishes a message and waits until the broker has it.
    ///
    /// What the route is depends on the exchange; see [`hopmq::Chan::publish`](crate::Chan::publish).
    /// Dropped in flight, the message may have been published.
    ///
    /// # Errors
    /// [`PublishError`]; publishing the same message again is safe as far as its consumer knows ids.
    pub async fn publish<'a, T, R>(
        &'a self,
        route: R,
        message: &Message<T>,
    ) -> Result<(), PublishError>
    where
        C: Encode<T>,
        R: RouteTo<'a, X> + Clone,
    {
        let raw = message.encode(&*self.codec)?;
        self.publish_raw(route, raw).await
    }

    /// Publishes many messages, which are on their way together, and waits for all of them.
    ///
    /// They arrive in order, but for those that the broker refuses at first.
    ///
    /// # Errors
    /// Which were not published, and why; all others were.
    pub async fn publish_all<'a, 'm, T, R>(
        &'a self,
        messages: impl IntoIterator<Item = (R, &'m Message<T>)>,
    ) -> Result<(), PublishAllError>
    where
        T: 'm,
        C: Encode<T>,
        R: RouteTo<'a, X> + Clone,
    {
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        for (route, message) in messages {
            let at = sent.len();
            let begun = match message.encode(&*self.codec) {
                Ok(raw) => self.begin(route, raw).await,
                Err(error) => Err(error.into()),
            };
            sent.push(begun.map_err(|error| failed.push((at, error))).ok());
        }
        let count = sent.len();
        for (at, sent) in sent.into_iter().enumerate() {
            let Some(begun) = sent else { continue };
            if let Err(error) = self.end(begun).await {
                failed.push((at, error));
            }
        }
        failed.sort_by_key(|(at, _)| *at);
        if failed.is_empty() { Ok(()) } else { Err(PublishAllError { count, failed }) }
    }

    /// Publishes a message that is encoded already.
    pub(super) async fn publish_raw<'a, R>(
        &'a self,
        route: R,
        raw: crate::Message,
    ) -> Result<(), PublishError>
    where
        R: RouteTo<'a, X> + Clone,
    {
        let begun = self.begin(route, raw).await?;
        self.end(begun).await
    }

    /// Sends a message, in its span.
    async fn begin<'a, R>(&'a self, route: R, raw: crate::Message) -> Result<Begun<R>, PublishError>
    where
        R: RouteTo<'a, X> + Clone,
    {
        let since = Since::now();
        // The span has its name before the message its headers: one that stays here says the key.
        let unsent =
            self.publisher.publish(&self.exchange, route.clone(), crate::Message::default());
        let span = span::publish(self.exchange.name(), unsent.routing_key(), &raw);
        drop(unsent);
        let raw = span::carried(&span, raw);
        match self.send(route.clone(), raw).instrument(span.clone()).await {
            Ok(confirm) => Ok(Begun { route, confirm, since, span }),
            Err(error) => {
                self.tell(since, &span, Some(&error));
                Err(error)
            }
        }
    }

    async fn end<'a, R>(&'a self, begun: Begun<R>) -> Result<(), PublishError>
    where
        R: RouteTo<'a, X> + Clone,
    {
        let Begun { route, confirm, since, span } = begun;
        let published = self.confirmed(route, confirm).instrument(span.clone()).await;
        self.tell(since, &span, published.as_ref().err());
        published
    }

    /// Tells traces and metrics what became of a message.
    fn tell(&self, since: Since, span: &Span, error: Option<&PublishError>) {
        since.published(self.exchange.name(), error);
        if let Some(error) = error {
            span::not_published(span, error);
        }
    }

    async fn send<'a, R>(&'a self, route: R, raw: crate::Message) -> Result<Confirm, PublishError>
    where
        R: RouteTo<'a, X>,
    {
        let publish = self.publisher.publish(&self.exchange, route, raw);
        let sent = publish.mandatory().at_least_once().await;
        sent.map_err(|failed| PublishError::NotSent(failed.into()))
    }

    /// Waits for the outcome, and sends again what was refused.
    async fn confirmed<'a, R>(&'a self, route: R, confirm: Confirm) -> Result<(), PublishError>
    where
        R: RouteTo<'a, X> + Clone,
    {
        let mut confirm = confirm;
        for time in 0..=self.resends {
            let (reason, raw) = match confirm.await.map_err(ConfirmError::into_parts) {
                Ok(()) => return Ok(()),
                Err(parts) => parts,
            };
            match reason {
                Unconfirmed::Returned { code, text } => {
                    return Err(PublishError::Returned { code, text });
                }
                Unconfirmed::Unknown(error) => return Err(PublishError::Unknown(error)),
                Unconfirmed::Nacked if time < self.resends => {
                    tokio::time::sleep(self.pause).await;
                    confirm = self.send(route.clone(), raw).await?;
                }
                Unconfirmed::Nacked => break,
            }
        }
        Err(PublishError::Refused { times: self.resends.saturating_add(1) })
    }
}

/// A message that is on its way.
struct Begun<R> {
    route: R,
    confirm: Confirm,
    since: Since,
    span: Span,
}

// Not derived: neither the exchange's kind nor the codec has to be `Clone`.
impl<X, C> Clone for Publisher<X, C> {
    fn clone(&self) -> Self {
        Publisher {
            publisher: self.publisher.clone(),
            exchange: self.exchange.clone(),
            codec: self.codec.clone(),
            resends: self.resends,
            pause: self.pause,
        }
    }
}

impl<X, C: Codec> fmt::Debug for Publisher<X, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("exchange", &self.exchange.name())
            .field("content_type", &self.codec.content_type())
            .finish_non_exhaustive()
    }
}
