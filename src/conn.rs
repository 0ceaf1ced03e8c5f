//! Connections: `Conn<Disconnected>` and `Conn<Connected>`.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use crate::{
    call::{Call, Wanted},
    capability::{CanConnect, IsConnected},
    chan::{Chan, Open},
    config::Config,
    error::{Error, Failed},
    handle::Handle,
    message::Message,
    proto::{CallId, LeftOver, Reply, WaiterId},
    sealed::Sealed,
    uri::Uri,
    watch::{Blocked, ConnectionState, ConnectionStats, Ended, StateChanges, Unblocked},
};

/// The state of a connection that was not dialled, or was closed.
#[derive(Debug)]
pub enum Disconnected {}

/// The state of a connection that was opened.
///
/// The type proves that this program connected; whether the socket is alive at this instant is
/// for the run-time machine to say: see [`Conn::closed`] and [`Conn::close_reason`].
#[derive(Debug)]
pub enum Connected {}

/// A state of [`Conn`].
pub trait ConnState: Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Inner: Send + Sync;
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    fn config(inner: &Self::Inner) -> &Config;
    #[doc(hidden)]
    fn left_over(inner: &Self::Inner) -> Option<LeftOver>;
}

impl Sealed for Disconnected {}
impl Sealed for Connected {}

/// What a connection that is not dialled keeps.
#[doc(hidden)]
#[derive(Debug)]
pub struct AtRest {
    config: Config,
    left_over: Option<LeftOver>,
}

impl ConnState for Disconnected {
    type Inner = Box<AtRest>;
    const NAME: &'static str = "Disconnected";

    fn config(inner: &Self::Inner) -> &Config {
        &inner.config
    }

    fn left_over(inner: &Self::Inner) -> Option<LeftOver> {
        inner.left_over
    }
}

impl ConnState for Connected {
    type Inner = Arc<Handle>;
    const NAME: &'static str = "Connected";

    fn config(inner: &Self::Inner) -> &Config {
        inner.config()
    }

    fn left_over(inner: &Self::Inner) -> Option<LeftOver> {
        inner.look(|connection| connection.ended().map(|_| connection.left_over()))
    }
}

/// A connection to a broker, in the state `S`.
///
/// Not `Clone`: a clone would keep a stale state. Share it by reference or in an `Arc`; channels
/// and what is made of them keep the connection alive on their own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::Conn;
///
/// let conn = Conn::new(uri.parse::<hopmq::Uri>()?);  // Conn<Disconnected>
/// let conn = conn.connect().await?;                  // Conn<Connected>
/// let chan = conn.open_channel().await?;             // Chan<Open>
/// # drop(chan);
/// let conn = conn.close().await?;                    // Conn<Disconnected> again
/// # drop(conn);
/// # Ok(()) }
/// ```
///
#[doc = include_str!("table/conn.svg")]
pub struct Conn<S: ConnState> {
    inner: S::Inner,
    state: PhantomData<fn() -> S>,
}

impl<S: ConnState> Conn<S> {
    fn with_inner(inner: S::Inner) -> Self {
        Conn { inner, state: PhantomData }
    }

    /// The message with this connection's user as its user id, which the broker vouches for to whoever
    /// receives it (<https://www.rabbitmq.com/docs/validated-user-id>). Publish it on this connection:
    /// another user's is refused with 406.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// use hopmq::{Exchange, Queue};
    ///
    /// let chan = conn.open_channel().await?;
    /// let inbox = chan.declare(Queue::server_named()).await?;
    /// let order = conn.signed(b"12 apples");
    /// chan.publish_unconfirmed(&Exchange::default_exchange(), &inbox, order).await?;
    /// let delivery = chan.get(&inbox).await?.expect("it is there");
    /// assert_eq!(delivery.properties().user_id(), Some("guest"));
    /// # delivery.ack()?;
    /// # Ok(()) }
    /// ```
    pub fn signed(&self, message: impl Into<Message>) -> Message {
        message.into().of_user(&self.config().credentials.user)
    }

    /// What was not finished when this connection was closed, or gave up; `None` while it is open,
    /// and if it never was.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// let conn = conn.close().await?;
    /// if let Some(left) = conn.left_over().filter(|left| !left.is_nothing()) {
    ///     eprintln!("{} publishes unconfirmed, {} deliveries unsettled", left.unconfirmed, left.unsettled);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn left_over(&self) -> Option<LeftOver> {
        S::left_over(&self.inner)
    }

    /// What it connects to, and how.
    pub fn config(&self) -> &Config {
        S::config(&self.inner)
    }
}

impl Conn<Disconnected> {
    /// A connection that can be dialled: from a [`Config`], or from a [`Uri`].
    pub fn new(config: impl Into<Config>) -> Self {
        Conn::at_rest(config.into(), None)
    }

    fn at_rest(config: Config, left_over: Option<LeftOver>) -> Self {
        Conn::with_inner(Box::new(AtRest { config, left_over }))
    }

    /// The same connection when it has ended: its configuration, and what it left over.
    fn of_ended(handle: &Handle) -> Self {
        let left_over = handle.look(|connection| connection.left_over());
        Conn::at_rest(handle.config().clone(), Some(left_over))
    }
}

impl From<Uri> for Conn<Disconnected> {
    fn from(uri: Uri) -> Self {
        Conn::new(uri)
    }
}

impl Sealed for Conn<Disconnected> {}
impl Sealed for Conn<Connected> {}

impl CanConnect for Conn<Disconnected> {
    fn into_config(self) -> Config {
        self.inner.config
    }
}

impl IsConnected for Conn<Connected> {
    fn handle(&self) -> &Arc<Handle> {
        &self.inner
    }
}

// The bounds stand on the methods, not on the impl block: that way the compiler tells what to do
// next, also through `&` and `Arc` (see `capability`).
impl<S: ConnState> Conn<S> {
    /// Connects: dials one host after the other, shakes hands, opens the virtual host.
    ///
    /// All hosts together have [`Config::connection_timeout`], of which each gets its share. A host
    /// that is down, keeps silent, fails at TLS, talks something else than AMQP or is being shut down
    /// leaves its turn to the next. What is about this client ends the attempt at once, since the next
    /// host of a cluster would say the same: refused credentials (403), and a virtual host that is
    /// missing or not ours (530). Then nothing is dialled again either, also when a lost connection
    /// is recovered.
    ///
    /// # Errors
    /// [`Failed`] with the `Conn<Disconnected>` to try again with. Where several attempts were made,
    /// [`Error::attempts`] lists how each one failed.
    #[rustfmt::skip]
    pub fn connect(self) -> Connecting // needs an owned `Conn`: `let conn = conn.connect().await?;`
    where
        Self: CanConnect,
    {
        Connecting::new(self.into_config())
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`Error::TooManyChannels`] when all ids that were negotiated are in use, else why the
    /// connection ended.
    pub fn open_channel(&self) -> Call<Chan<Open>>
    where
        Self: IsConnected,
    {
        let handle = self.handle().clone();
        Call::new(self.handle().clone(), Ok(Wanted::OpenChannel), move |reply| match reply {
            Reply::Opened(key) => Ok(Chan::opened(handle.clone(), key)),
            _ => Err(Error::Closed),
        })
    }

    /// Closes the connection and with it every channel, in an orderly way: consumers are cancelled,
    /// and what waits for them goes back to the queue; what was sent before goes out first; publishes
    /// have their outcome, as far as the broker tells it, and deliveries that this program holds are
    /// settled, as far as it does so, within
    /// [`Policy::drain_timeout`](crate::fsm::supervisor::Policy::drain_timeout) (10 s by itself).
    /// Publishing from elsewhere meanwhile fails as [`Error::Closed`]. What was not finished then is
    /// told by [`Conn::left_over`].
    ///
    /// It succeeds also when the connection is dead already, or when the broker does not answer
    /// within [`Policy::close_timeout`](crate::fsm::supervisor::Policy::close_timeout) (5 s by
    /// itself, and never longer than a call may take): in the end it is closed.
    #[rustfmt::skip]
    pub fn close(self) -> Closing // needs an owned `Conn`: `let conn = conn.close().await?;`
    where
        Self: IsConnected,
    {
        Closing::new(self.handle().clone())
    }
}

/// A connection that is being made, as a future that owns it.
///
/// *Before the first poll* nothing was dialled. *In flight*, dropping it drops the socket. Polled
/// by `&mut` under a timeout, it can be awaited again.
#[pin_project]
#[must_use = "nothing is dialled until the transition is awaited"]
#[derive(Debug)]
pub struct Connecting {
    config: Option<Arc<Config>>,
    #[pin]
    attempt: Option<Attempt>,
}

impl Connecting {
    fn new(config: Config) -> Self {
        Connecting { config: Some(Arc::new(config)), attempt: None }
    }
}

impl Future for Connecting {
    type Output = Result<Conn<Connected>, Failed<Conn<Disconnected>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(config) = this.config.clone() else { return Poll::Pending };
        if this.attempt.is_none() {
            match Attempt::start(&config) {
                Ok(attempt) => this.attempt.set(Some(attempt)),
                Err(error) => {
                    *this.config = None;
                    let remains = Conn::at_rest(unshare(config), None);
                    return Poll::Ready(Err(Failed::new(error, remains)));
                }
            }
        }
        let Some(attempt) = this.attempt.as_mut().as_pin_mut() else { return Poll::Pending };
        let connected = ready!(attempt.poll(cx));
        this.attempt.set(None);
        *this.config = None;
        Poll::Ready(match connected {
            Ok(shared) => Ok(Conn::with_inner(shared)),
            Err(error) => Err(Failed::new(error, Conn::at_rest(unshare(config), None))),
        })
    }
}

fn unshare(config: Arc<Config>) -> Config {
    Arc::try_unwrap(config).unwrap_or_else(|shared| (*shared).clone())
}

/// One attempt to connect: its task runs.
#[derive(Debug)]
struct Attempt {
    shared: Option<Arc<Handle>>,
    call: CallId,
    waiter: Option<WaiterId>,
}

impl Attempt {
    fn start(config: &Arc<Config>) -> Result<Self, Error> {
        config.check()?;
        let shared = Handle::spawn(config.clone())?;
        let call = shared.command(|connection, now| connection.connect(now));
        Ok(Attempt { shared: Some(shared), call, waiter: None })
    }
}

impl Future for Attempt {
    type Output = Result<Arc<Handle>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(shared) = &this.shared else { return Poll::Pending };
        let answer = ready!(shared.poll_call(this.call, &mut this.waiter, cx));
        let Some(shared) = this.shared.take() else { return Poll::Pending };
        Poll::Ready(match answer {
            Ok(_) => Ok(shared),
            Err(error) => Err(shared.error(error)),
        })
    }
}

/// A connection that is being closed, as a future that owns it.
///
/// Dropped in flight, it still closes.
#[pin_project]
#[must_use = "closing waits for what was sent before; dropped, nobody waits"]
#[derive(Debug)]
pub struct Closing {
    shared: Arc<Handle>,
    call: Option<CallId>,
    waiter: Option<WaiterId>,
}

impl Closing {
    fn new(shared: Arc<Handle>) -> Self {
        Closing { shared, call: None, waiter: None }
    }
}

impl Future for Closing {
    type Output = Result<Conn<Disconnected>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let shared = &*this.shared;
        let call = *this
            .call
            .get_or_insert_with(|| shared.command(|connection, now| connection.close(now)));
        ready!(shared.poll_call(call, this.waiter, cx)).map_err(|error| shared.error(error))?;
        Poll::Ready(Ok(Conn::of_ended(shared)))
    }
}

impl<S: ConnState> Conn<S> {
    /// Why the connection ended, if it has. Then every call on it says the same.
    pub fn close_reason(&self) -> Option<Error>
    where
        Self: IsConnected,
    {
        self.handle().ended()
    }

    /// Waits until the connection has ended, and says why. It does not keep the connection alive,
    /// and dropping it changes nothing.
    ///
    /// ```no_run
    /// # async fn run(conn: hopmq::Conn<hopmq::Connected>) {
    /// let closed = conn.closed();
    /// tokio::spawn(async move { eprintln!("the connection has ended: {}", closed.await) });
    /// # }
    /// ```
    pub fn closed(&self) -> Ended
    where
        Self: IsConnected,
    {
        Ended::of_connection(self.handle().shared())
    }

    /// Turns a dead connection back into one that can be dialled.
    ///
    /// # Errors
    /// The connection itself, when it is alive.
    #[rustfmt::skip]
    pub fn into_disconnected(self) -> Result<Conn<Disconnected>, Self> // needs an owned `Conn`, and gives one back
    where
        Self: IsConnected,
    {
        match self.handle().ended() {
            Some(_) => Ok(Conn::of_ended(self.handle())),
            None => Err(self),
        }
    }

    /// The state of the run-time machine: whether the connection is up at this instant.
    pub fn state(&self) -> ConnectionState
    where
        Self: IsConnected,
    {
        self.handle().look(|connection| connection.supervisor().state())
    }

    /// Every change of that state, from the first dialling on. The same goes to `tracing`: a span for
    /// each stay in a state and an event for each change, with the names that they have here.
    ///
    /// ```no_run
    /// # async fn run(conn: hopmq::Conn<hopmq::Connected>) {
    /// let mut changes = conn.state_changes();
    /// tokio::spawn(async move {
    ///     while let Some(change) = changes.next().await {
    ///         println!("{change}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn state_changes(&self) -> StateChanges
    where
        Self: IsConnected,
    {
        StateChanges::new(self.handle().shared())
    }

    /// What the connection has counted: transitions, attempts, failures, recoveries.
    pub fn stats(&self) -> ConnectionStats
    where
        Self: IsConnected,
    {
        ConnectionStats::of(self.handle())
    }

    /// Waits until the broker blocks publishers on this connection, and gives its reason
    /// (<https://www.rabbitmq.com/docs/connection-blocked>). Ready at once while it does.
    ///
    /// RabbitMQ tells a connection of an alarm once it publishes. Nobody has to listen: publishing
    /// waits by itself, or fails as [`Error::Blocked`] where
    /// [so configured](crate::Config::while_blocked).
    ///
    /// ```no_run
    /// # async fn run(conn: hopmq::Conn<hopmq::Connected>) {
    /// let (conn, shedding) = (std::sync::Arc::new(conn), tokio::sync::watch::Sender::new(false));
    /// tokio::spawn(async move {
    ///     while let Ok(reason) = conn.blocked().await {
    ///         eprintln!("the broker blocks publishers: {reason}");
    ///         shedding.send_replace(true);
    ///         if conn.unblocked().await.is_ok() {
    ///             shedding.send_replace(false);
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why the connection ended, if that comes first.
    pub fn blocked(&self) -> Blocked
    where
        Self: IsConnected,
    {
        Blocked::new(self.handle().shared())
    }

    /// Waits until the broker does not block publishers on this connection: ready at once while it
    /// does not. A connection that was lost is blocked no more.
    ///
    /// # Errors
    /// Why the connection ended, if that comes first.
    pub fn unblocked(&self) -> Unblocked
    where
        Self: IsConnected,
    {
        Unblocked::new(self.handle().shared())
    }

    /// The broker's reason for blocking publishers on this connection, while it does.
    pub fn block_reason(&self) -> Option<Arc<str>>
    where
        Self: IsConnected,
    {
        self.handle().look(|connection| connection.blocked().cloned())
    }

    /// What the broker says of itself: product, version, capabilities.
    pub fn server_properties(&self) -> crate::wire::FieldTable
    where
        Self: IsConnected,
    {
        self.handle().server_properties()
    }
}

impl<S: ConnState> fmt::Debug for Conn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conn<{}>", S::NAME)
    }
}
