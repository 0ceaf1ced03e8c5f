//! A clonable handle that only publishes.

use std::{fmt, sync::Arc};

use crate::{
    capability::InConfirmMode,
    chan::{Chan, ChanInner, ChanState, Confirming},
    error::Error,
    exchange::{Exchange, RouteTo},
    message::Message,
    publish::Publish,
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
    chan: Arc<ChanInner>,
}

impl<S: ChanState> Chan<S> {
    /// Mints a clonable handle that publishes on this channel and does nothing else.
    pub fn publisher(&self) -> Publisher
    where
        Self: InConfirmMode,
    {
        Publisher { chan: self.inner().clone() }
    }
}

impl Publisher {
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
        Publish::on(&self.chan, exchange, route, message.into())
    }

    /// Whether it publishes on this very channel.
    pub(crate) fn is_on(&self, chan: &Arc<ChanInner>) -> bool {
        Arc::ptr_eq(&self.chan, chan)
    }

    /// Why the channel ended, if it has. Then every publish says the same.
    pub fn close_reason(&self) -> Option<Error> {
        self.chan.handle.channel_ended(self.chan.key)
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
