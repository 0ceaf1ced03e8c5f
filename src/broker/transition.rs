//! The transitions of a broker that take time, as futures that own it.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::{TcpListener, ToSocketAddrs},
    time::{Sleep, sleep},
};

use super::{
    Broker, Listening, Stopped, Unbound,
    port::{self, Scheme},
    shared::Shared,
    state::{Plan, Running},
};

/// A socket that is being bound. In a mutex nobody locks, so that it is `Sync` whatever the
/// address is.
struct Bind<'a>(Mutex<Pin<Box<dyn Future<Output = io::Result<TcpListener>> + Send + 'a>>>);

impl<'a> Bind<'a> {
    fn new(address: impl ToSocketAddrs + Send + 'a) -> Self {
        Bind(Mutex::new(Box::pin(async move { TcpListener::bind(address).await })))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpListener>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

/// A broker that is being bound; see [`Broker::listen`]. Dropped in flight, nothing was bound.
#[must_use = "nothing is bound until the transition is awaited"]
pub struct Opening<'a> {
    plan: Option<Box<Plan>>,
    scheme: Scheme,
    bind: Bind<'a>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        plan: Box<Plan>,
        address: impl ToSocketAddrs + Send + 'a,
        scheme: Scheme,
    ) -> Self {
        Opening { plan: Some(plan), scheme, bind: Bind::new(address) }
    }
}

impl Future for Opening<'_> {
    type Output = Result<Broker<Listening>, NotBound>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let bound = ready!(self.bind.poll(context));
        let Some(plan) = self.plan.take() else { return Poll::Pending };
        let started =
            bound.and_then(|listener| (*plan).clone().start(listener, self.scheme.clone()));
        Poll::Ready(match started {
            Ok(running) => Ok(Broker::with_inner(running)),
            Err(error) => Err(NotBound { error, broker: Broker::with_inner(plan) }),
        })
    }
}

/// A further port that is being bound; see [`Broker::also_listen`].
#[must_use = "nothing is bound until this is awaited"]
pub struct Port<'a> {
    shared: Arc<Shared>,
    scheme: Scheme,
    bind: Bind<'a>,
}

impl<'a> Port<'a> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        address: impl ToSocketAddrs + Send + 'a,
        scheme: Scheme,
    ) -> Self {
        Port { shared: Arc::clone(shared), scheme, bind: Bind::new(address) }
    }
}

impl Future for Port<'_> {
    type Output = io::Result<SocketAddr>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let listener = ready!(self.bind.poll(context))?;
        Poll::Ready(port::open(&self.shared, listener, self.scheme.clone()))
    }
}

/// Why a broker could not be bound, with the broker to try again with.
#[derive(Debug)]
pub struct NotBound {
    error: io::Error,
    broker: Broker<Unbound>,
}

impl NotBound {
    /// What the operating system says.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The error and the broker, to try again with.
    pub fn into_parts(self) -> (io::Error, Broker<Unbound>) {
        (self.error, self.broker)
    }
}

impl fmt::Display for NotBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for NotBound {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl From<NotBound> for io::Error {
    fn from(not_bound: NotBound) -> Self {
        not_bound.error
    }
}

/// A broker that ends its connections, as a future that owns it; see [`Broker::stopped`]. Dropping
/// it cuts those that are left.
#[must_use = "dropping it cuts the connections that are left"]
#[derive(Debug)]
pub struct Stopping {
    running: Option<Box<Running>>,
    patience: Duration,
    late: Option<Pin<Box<Sleep>>>,
}

impl Stopping {
    pub(super) fn new(running: Box<Running>, patience: Duration) -> Self {
        Stopping { running: Some(running), patience, late: None }
    }
}

impl Future for Stopping {
    type Output = Broker<Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(running) = &this.running else { return Poll::Pending };
        let late = this.late.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        running.shared.emptied.heard(context);
        let cut = running.shared.connection_count();
        if cut > 0 && late.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let Some(mut running) = this.running.take() else { return Poll::Pending };
        running.shared.stop();
        #[cfg(feature = "durable")]
        running.shared.finish();
        running.cut = cut;
        Poll::Ready(Broker::with_inner(running))
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

impl fmt::Debug for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}
