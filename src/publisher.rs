//! A clonable handle that only publishes.

use std::{fmt, sync::Arc};

use crate::{
    capability::InConfirmMode,
    chan::{Chan, ChanInner, ChanState, Confirming},
    error::Error,
    exchange::{Exchange, RouteTo},
    message::Message,
    publish::Publish,
    publish_all::PublishAll,
};

/// A handle on a confirming channel that publishes and does nothing else.
///
/// It is minted by [`Chan::publisher`] once the mode is fixed, and offers no transition: so it is
/// `Clone`, and no clone can hold a stale state. Clones share the channel's publish window; the
/// channel lives while one of them does, whether or not the [`Chan`] still does.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Conn, Exchange, Publisher, Uri};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let chan = conn.open_channel().await?.confirm_select().await?;
/// let news = chan.declare(Exchange::fanout("news")).await?;
/// let publisher: Publisher = chan.publisher();
///
/// for number in 0..3u8 {
///     let (publisher, news) = (publisher.clone(), news.clone());
///     tokio::spawn(async move {
///         publisher.publish(&news, (), [number]).await?.await?;
///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
///     });
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Publisher {
    minted: Arc<Minted>,
}

/// What all clones of a publisher share.
struct Minted {
    chan: Arc<ChanInner>,
    at_least_once: bool,
}

impl<S: ChanState> Chan<S> {
    /// Mints a clonable handle that publishes on this channel and does nothing else.
    pub fn publisher(&self) -> Publisher
    where
        Self: InConfirmMode,
    {
        Publisher::on(self.inner().clone(), false)
    }
}

impl Publisher {
    fn on(chan: Arc<ChanInner>, at_least_once: bool) -> Self {
        Publisher { minted: Arc::new(Minted { chan, at_least_once }) }
    }

    /// Publishes a message whose outcome the broker tells, as [`Chan::publish`] does.
    ///
    /// # Errors
    /// [`Failed`](crate::Failed) with the message, when it was not handed over.
    pub fn publish<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>,
    ) -> Publish<'a>
    where
        R: RouteTo<'a, X>,
    {
        let publish = Publish::on(&self.minted.chan, exchange, route, message.into());
        if self.minted.at_least_once { publish.at_least_once() } else { publish }
    }

    /// Publishes many messages, in order, as [`Chan::publish_all`] does.
    ///
    /// # Errors
    /// [`PartlyPublished`](crate::PartlyPublished) with all messages that are not published, when
    /// one was not handed over.
    pub fn publish_all<'a, X, R, M>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        messages: M,
    ) -> PublishAll<'a, M::IntoIter>
    where
        R: RouteTo<'a, X>,
        M: IntoIterator<Item: Into<Message>>,
    {
        let publish = PublishAll::on(&self.minted.chan, exchange, route, messages);
        if self.minted.at_least_once { publish.at_least_once() } else { publish }
    }

    /// Publishes every message [at least once](Publish::at_least_once) from now on, also through
    /// clones that are made of it: no call can forget it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// # let chan = conn.open_channel().await?.confirm_select().await?;
    /// use hopmq::Exchange;
    ///
    /// let news = chan.declare(Exchange::fanout("news")).await?;
    /// let publisher = chan.publisher().at_least_once();
    /// let confirm = publisher.publish(&news, (), b"kept").await?;
    /// broker.faults().cut_connections();
    /// confirm.await?; // also when it had to be published again
    /// # Ok(()) }
    /// ```
    pub fn at_least_once(self) -> Self {
        Publisher::on(self.minted.chan.clone(), true)
    }

    /// Whether it publishes on this very channel.
    pub(crate) fn is_on(&self, chan: &Arc<ChanInner>) -> bool {
        Arc::ptr_eq(&self.minted.chan, chan)
    }

    /// Why the channel ended, if it has. Then every publish says the same.
    pub fn close_reason(&self) -> Option<Error> {
        self.minted.chan.handle.channel_ended(self.minted.chan.key)
    }
}

impl From<Chan<Confirming>> for Publisher {
    fn from(chan: Chan<Confirming>) -> Self {
        chan.publisher()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}
