//! Channels: `Chan<Open>`, `Chan<Confirming>`, `Chan<Transactional>`, `Chan<Closed>`.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;

use crate::{
    binding::{self, BindingArgument, BindingTarget},
    call::{Call, Wanted},
    capability::{CanReopen, CanSelectMode, InTransactionMode, IsOpen},
    config::Hold,
    error::{Error, Failed},
    exchange::Exchange,
    handle::Handle,
    name::{Declare, Realm},
    proto::{BindingSpec, ChanStats, ChannelKey, Reply, Request},
    queue::{CanPurge, Counts, Queue, QueueKind},
    sealed::Sealed,
    usage::UsageError,
    watch::Ended,
};

/// The state of a channel whose mode is not fixed.
#[derive(Debug)]
pub enum Open {}

/// The state of a channel that confirms publishes.
#[derive(Debug)]
pub enum Confirming {}

/// The state of a channel that publishes and settles in transactions.
#[derive(Debug)]
pub enum Transactional {}

/// The state of a channel that has ended.
#[derive(Debug)]
pub enum Closed {}

/// A state of [`Chan`].
pub trait ChanState: Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: &'static str;
}

macro_rules! states {
    ($($state:ident),+) => {$(
        impl Sealed for $state {}
        impl ChanState for $state {
            const NAME: &'static str = stringify!($state);
        }
        impl Sealed for Chan<$state> {}
    )+};
}

states!(Open, Confirming, Transactional, Closed);

/// A channel, in the state `S`.
///
/// Not `Clone`: a clone would keep a stale state. Calls go through `&`, so it is shared by
/// reference or in an `Arc`; calls go out in the order in which they are first polled. Dropping the
/// last handle closes the channel.
///
/// The type proves that this program put the channel into that mode. When the broker closes the
/// channel, every later call says so, with the broker's code, text and method; see
/// [`Chan::close_reason`] and [`Chan::into_closed`].
///
#[doc = include_str!("table/chan.svg")]
pub struct Chan<S: ChanState> {
    inner: Arc<ChanInner>,
    state: PhantomData<fn() -> S>,
}

/// What all handles of one channel share: dropping the last closes it.
#[derive(Debug)]
pub(crate) struct ChanInner {
    pub(crate) handle: Arc<Handle>,
    pub(crate) key: ChannelKey,
    /// Publishes below this tag are confirmed: their futures ask without the connection's lock.
    pub(crate) confirmed_below: AtomicU64,
}

impl Drop for ChanInner {
    fn drop(&mut self) {
        self.handle.release_channel(self.key);
    }
}

impl ChanInner {
    pub(crate) fn call<T>(
        &self,
        request: Result<Request, UsageError>,
        finish: impl FnMut(Reply) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Call<T> {
        let wanted = request.map(|request| Wanted::Channel(self.key, request));
        Call::new(self.handle.clone(), wanted, finish)
    }

    pub(crate) fn realm(&self) -> &Arc<Realm> {
        self.handle.realm()
    }
}

impl<S: ChanState> Chan<S> {
    pub(crate) fn inner(&self) -> &Arc<ChanInner> {
        &self.inner
    }

    pub(crate) fn call<T>(
        &self,
        request: Result<Request, UsageError>,
        finish: impl FnMut(Reply) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Call<T> {
        self.inner.call(request, finish)
    }

    /// A call whose answer says only that it was done.
    fn done(&self, request: Result<Request, UsageError>) -> Call<()> {
        self.call(request, |_| Ok(()))
    }

    fn with_state<T: ChanState>(self) -> Chan<T> {
        Chan { inner: self.inner, state: PhantomData }
    }

    /// Why the channel ended, if it has. Then every call on it says the same.
    pub fn close_reason(&self) -> Option<Error> {
        self.inner.handle.channel_ended(self.inner.key)
    }

    /// Waits until the channel has ended, and says why: [`Error::Closed`] when this program closed it.
    /// It does not keep the channel alive, and dropping it changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// use hopmq::{Exchange, Topic, wire::ReplyCode};
    ///
    /// let chan = conn.open_channel().await?;
    /// let gone = Exchange::<Topic>::by_name("nobody declared it")?;
    /// chan.publish_unconfirmed(&gone, "key", b"lost").await?;
    /// assert_eq!(chan.closed().await.reply_code(), Some(ReplyCode::NOT_FOUND));
    /// # Ok(()) }
    /// ```
    pub fn closed(&self) -> Ended {
        Ended::of_channel(self.inner.handle.shared(), self.inner.key)
    }

    /// What is going on on the channel: consumers, what is unsettled and unconfirmed, whether a
    /// transaction is open. All zero once it has ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// use hopmq::Queue;
    ///
    /// let chan = conn.open_channel().await?;
    /// let inbox = chan.declare(Queue::classic("inbox")).await?;
    /// let consumer = chan.consume(&inbox).await?;
    /// assert_eq!(chan.stats().consumers, 1);
    /// drop(consumer);
    /// assert_eq!(chan.stats().consumers, 0);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> ChanStats {
        self.inner.handle.look(|connection| connection.channel_stats(self.inner.key))
    }

    /// Turns a channel that has ended into a `Chan<Closed>`, which can be reopened.
    ///
    /// # Errors
    /// The channel itself, when it is open.
    #[rustfmt::skip]
    pub fn into_closed(self) -> Result<Chan<Closed>, Self> { // needs an owned `Chan`: `match chan.into_closed() { .. }`
        match self.close_reason() {
            Some(_) => Ok(self.with_state()),
            None => Err(self),
        }
    }
}

impl Chan<Open> {
    pub(crate) fn opened(handle: Arc<Handle>, key: ChannelKey) -> Self {
        Chan {
            inner: Arc::new(ChanInner { handle, key, confirmed_below: AtomicU64::new(0) }),
            state: PhantomData,
        }
    }
}

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc` (see `capability`).
impl<S: ChanState> Chan<S> {
    /// Declares an exchange or a queue, and gives the token that proves it: publishing, binding and
    /// consuming take it.
    ///
    /// # Errors
    /// [`Error::Usage`] before anything is sent, e.g. for a name over 255 bytes. When the broker
    /// refuses (406 for other arguments than the existing one has, 405 for somebody's exclusive
    /// queue), it closes the channel.
    pub fn declare<D>(&self, declaration: D) -> Call<D::Token>
    where
        D: Declare + Send + Sync + 'static,
        Self: IsOpen,
    {
        let (realm, connection) = (self.inner.realm().clone(), self.inner.handle.id());
        let request = declaration.request(&realm);
        let mut declaration = Some(declaration);
        let handle = self.inner.handle.clone();
        self.call(request, move |reply| match declaration.take() {
            Some(declaration) => {
                let token = declaration.token(&realm, connection, &reply);
                if let (Some(holder), Reply::Declared { name, .. }) =
                    (D::name_holder(&token), &reply)
                {
                    handle.keep_name(name, holder);
                }
                Ok(token)
            }
            None => Err(Error::Closed),
        })
    }

    /// Binds a queue, or another exchange, to an exchange: messages that match go there
    /// (<https://www.rabbitmq.com/docs/e2e> for exchanges).
    ///
    /// What a binding takes depends on the exchange: a key or pattern (direct, topic), `()`
    /// (fanout), a [`Match`](crate::Match) (headers).
    ///
    /// # Errors
    /// [`Error::Usage`] before anything is sent, e.g. for a token of another broker.
    pub fn bind<T, X, B>(&self, target: &T, exchange: &Exchange<X>, binding: B) -> Call<()>
    where
        T: BindingTarget + ?Sized,
        B: BindingArgument<X>,
        Self: IsOpen,
    {
        self.done(self.binding(target, exchange, binding).map(T::bind))
    }

    /// Removes a binding that was made with the same arguments.
    ///
    /// # Errors
    /// As [`Chan::bind`]. Removing what is not there is no error.
    pub fn unbind<T, X, B>(&self, target: &T, exchange: &Exchange<X>, binding: B) -> Call<()>
    where
        T: BindingTarget + ?Sized,
        B: BindingArgument<X>,
        Self: IsOpen,
    {
        self.done(self.binding(target, exchange, binding).map(T::unbind))
    }

    fn binding<T: BindingTarget + ?Sized, X, B: BindingArgument<X>>(
        &self,
        target: &T,
        exchange: &Exchange<X>,
        argument: B,
    ) -> Result<BindingSpec, UsageError> {
        let handle = &self.inner.handle;
        binding::binding(target, exchange, argument, handle.realm(), handle.id())
    }

    /// Removes the messages of a queue that are ready for delivery, and gives their number.
    ///
    /// # Errors
    /// As [`Chan::bind`].
    pub fn purge<Q: CanPurge>(&self, queue: &Queue<Q>) -> Call<u32>
    where
        Self: IsOpen,
    {
        let name = queue.short_string();
        let request = queue.check(self.inner.realm(), self.inner.handle.id());
        self.call(request.map(|()| Request::PurgeQueue { name }), removed)
    }

    /// Asks how many messages of a queue are ready for delivery, and how many consumers it has.
    ///
    /// # Errors
    /// As [`Chan::bind`]; a queue that is gone closes the channel with 404.
    pub fn counts<Q: QueueKind>(&self, queue: &Queue<Q>) -> Call<Counts>
    where
        Self: IsOpen,
    {
        let handle = &self.inner.handle;
        let request = queue.count_request(handle.realm(), handle.id());
        self.call(request, |reply| Ok(Counts::from_reply(&reply)))
    }

    /// Puts the channel into confirm mode: from now on publishes are confirmed
    /// (<https://www.rabbitmq.com/docs/confirms>).
    ///
    /// # Errors
    /// Once confirm.select is on the wire a failure has closed the channel, so nothing remains.
    #[rustfmt::skip]
    pub fn confirm_select(self) -> ConfirmSelect // needs an owned `Chan`: `let chan = chan.confirm_select().await?;`
    where
        Self: CanSelectMode,
    {
        ConfirmSelect { call: self.done(Ok(Request::ConfirmSelect)), chan: Some(self.with_state()) }
    }

    /// Puts the channel into transactional mode (AMQP 0-9-1, 1.9).
    ///
    /// # Errors
    /// Once tx.select is on the wire a failure has closed the channel, so nothing remains.
    #[rustfmt::skip]
    pub fn tx_select(self) -> TxSelect // needs an owned `Chan`: `let chan = chan.tx_select().await?;`
    where
        Self: CanSelectMode,
    {
        TxSelect { call: self.done(Ok(Request::TxSelect)), chan: Some(self.with_state()) }
    }

    /// Commits what was published and settled since the last commit or rollback.
    ///
    /// # Errors
    /// When the connection is lost before the answer, the outcome is unknown.
    pub fn commit(&self) -> Call<()>
    where
        Self: InTransactionMode,
    {
        self.done(Ok(Request::TxCommit))
    }

    /// Takes back what was published and settled since the last commit or rollback.
    pub fn rollback(&self) -> Call<()>
    where
        Self: InTransactionMode,
    {
        self.done(Ok(Request::TxRollback))
    }

    /// Closes the channel: what was sent before takes effect first.
    ///
    /// It succeeds also when the channel is dead already.
    #[rustfmt::skip]
    pub fn close(self) -> ClosingChan // needs an owned `Chan`: `let chan = chan.close().await?;`
    where
        Self: IsOpen,
    {
        ClosingChan { call: self.done(Ok(Request::CloseChannel)), chan: Some(self.with_state()) }
    }

    /// Opens a new channel in place of one that has ended.
    ///
    /// # Errors
    /// [`Failed`] with the `Chan<Closed>` to try again with.
    #[rustfmt::skip]
    pub fn reopen(self) -> Reopen // needs an owned `Chan`: `let chan = chan.reopen().await?;`
    where
        Self: CanReopen,
    {
        let handle = self.inner.handle.clone();
        let call = Call::new(handle.clone(), Ok(Wanted::OpenChannel), move |reply| match reply {
            Reply::Opened(key) => Ok(Chan::opened(handle.clone(), key)),
            _ => Err(Error::Closed),
        });
        Reopen { call, chan: Some(self.with_state()) }
    }
}

fn removed(reply: Reply) -> Result<u32, Error> {
    match reply {
        Reply::Removed { messages } => Ok(messages),
        _ => Err(Error::Closed),
    }
}

/// Lets a named transition say how its call waits.
macro_rules! as_its_call {
    ($name:ident) => {
        impl $name {
            /// Waits this long for the broker's answer, instead of the configured time; see
            /// [`Call::within`].
            pub fn within(mut self, deadline: Duration) -> Self {
                self.call = self.call.within(deadline);
                self
            }

            /// What it does when the connection is being recovered, or is lost before the answer came,
            /// instead of what is configured; see [`Call::while_recovering`].
            pub fn while_recovering(mut self, hold: Hold) -> Self {
                self.call = self.call.while_recovering(hold);
                self
            }
        }
    };
}

/// Writes a named transition: a future that owns the channel while the broker is asked.
macro_rules! transition {
    ($(#[$doc:meta])* $name:ident -> $state:ident) => {
        $(#[$doc])*
        ///
        /// *Before the first poll* nothing was sent, and dropping it closes the channel that it
        /// owns. *In flight*, dropping it closes the channel too. Polled by `&mut` under a timeout,
        /// it can be awaited again.
        #[pin_project]
        #[must_use = "nothing is sent until the transition is awaited"]
        #[derive(Debug)]
        pub struct $name {
            #[pin]
            call: Call<()>,
            chan: Option<Chan<$state>>,
        }

        as_its_call!($name);

        impl Future for $name {
            type Output = Result<Chan<$state>, Error>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = self.project();
                ready!(this.call.poll(cx))?;
                this.chan.take().map_or(Poll::Pending, |chan| Poll::Ready(Ok(chan)))
            }
        }
    };
}

transition! {
    /// A channel on its way into confirm mode.
    ConfirmSelect -> Confirming
}

transition! {
    /// A channel on its way into transactional mode.
    TxSelect -> Transactional
}

/// A channel that is being closed, as a future that owns it.
///
/// Dropped in flight, it still closes.
#[pin_project]
#[must_use = "closing waits for what was sent before; dropped, nobody waits"]
#[derive(Debug)]
pub struct ClosingChan {
    #[pin]
    call: Call<()>,
    chan: Option<Chan<Closed>>,
}

as_its_call!(ClosingChan);

impl Future for ClosingChan {
    type Output = Result<Chan<Closed>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let closed = ready!(this.call.poll(cx));
        let Some(chan) = this.chan.take() else { return Poll::Pending };
        // A channel that is dead already is closed; one whose broker does not answer is not.
        match closed {
            Err(error) if chan.close_reason().is_none() => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(chan)),
        }
    }
}

/// A channel that is being reopened, as a future that owns the old one.
///
/// Dropped in flight, the new channel is closed again.
#[pin_project]
#[must_use = "nothing is sent until the transition is awaited"]
#[derive(Debug)]
pub struct Reopen {
    #[pin]
    call: Call<Chan<Open>>,
    chan: Option<Chan<Closed>>,
}

as_its_call!(Reopen);

impl Future for Reopen {
    type Output = Result<Chan<Open>, Failed<Chan<Closed>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let opened = ready!(this.call.poll(cx));
        let Some(chan) = this.chan.take() else { return Poll::Pending };
        Poll::Ready(opened.map_err(|error| Failed::new(error, chan)))
    }
}

impl<S: ChanState> fmt::Debug for Chan<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chan<{}>", S::NAME)
    }
}
