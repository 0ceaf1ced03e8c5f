//! From a configuration to a stream of bytes: names to addresses, TCP, TLS.
//!
//! The hosts are tried one after the other in an order shuffled by a seed, each with every record
//! that its name has, in the resolver's order. The time left is divided fairly among what is left
//! to try: a host that swallows packets costs its share, one that refuses costs nothing, and the
//! whole ends within one deadline (scenario 7).
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

#[cfg(feature = "tls")]
use super::tls::{Connector, TlsError, TlsStream};
use crate::config::{Address, Config, Mechanism, Scheme};

/// No host of the broker could be reached. What was tried, and how each try failed, is in
/// [`attempts`](DialError::attempts).
#[derive(Clone, Debug)]
pub struct DialError {
    attempts: Arc<[Attempt]>,
}

impl DialError {
    /// Every attempt, in the order made. One entry for each IP address that was tried, and for
    /// each host that did not get that far.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Whether trying again cannot help, since the configuration is wrong in each attempt.
    pub fn is_permanent(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.cause.is_permanent())
    }
}

impl DialError {
    /// Whether each attempt failed of what only a person mends: here, or at the broker.
    pub(crate) fn somebody_must_change_something(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.cause.is_lasting())
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no host of the broker could be reached")?;
        for (number, attempt) in self.attempts.iter().enumerate() {
            f.write_str(if number == 0 { ": " } else { "; " })?;
            attempt.fmt(f)?;
            // An error has one source, and there are several attempts: so their causes stand here.
            let mut cause = attempt.cause.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

/// The source is the cause of the last attempt that was made.
impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let made = |attempt: &&Attempt| !matches!(attempt.cause, AttemptError::NotTried);
        self.attempts.iter().rev().find(made).map(|attempt| &attempt.cause as _)
    }
}

/// One attempt to reach one host.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The host, as configured.
    pub address: Address,
    /// The IP address and port, once the host's name was resolved.
    pub peer: Option<SocketAddr>,
    /// How it failed.
    pub cause: AttemptError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if let Some(peer) = self.peer {
            write!(f, " at {peer}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

/// How one attempt to reach one host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The host's name could not be resolved.
    #[error("the name could not be resolved")]
    Resolve(#[source] io::Error),
    /// The host's name has no address.
    #[error("the name has no address")]
    NoRecord,
    /// TCP could not connect.
    #[error("could not connect")]
    Connect(#[source] io::Error),
    /// TLS could not be established.
    #[cfg(feature = "tls")]
    #[error("TLS failed")]
    Tls(#[source] TlsError),
    /// The address is `amqps://`, and this program was built without TLS.
    #[error("hopmq was built without its feature `tls`")]
    NoTls,
    /// The attempt's share of the time was over.
    #[error("{step} took longer than {after:?}")]
    TimedOut {
        /// What was under way.
        step: DialStep,
        /// The time that it had.
        after: Duration,
    },
    /// It was a connection, and then the broker or what answered there would not talk AMQP.
    #[error("the AMQP handshake failed")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// The time was over before this host's turn came.
    #[error("not tried, the time was over")]
    NotTried,
}

impl AttemptError {
    /// Why TLS failed, also where that was told only after its handshake.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<&TlsError> {
        match self {
            AttemptError::Tls(error) => Some(error),
            AttemptError::Handshake(error) => {
                TlsError::of_socket(error.downcast_ref::<Arc<io::Error>>()?)
            }
            _ => None,
        }
    }

    fn is_lasting(&self) -> bool {
        match self {
            AttemptError::NoTls => true,
            #[cfg(feature = "tls")]
            AttemptError::Tls(error) => !matches!(error, TlsError::Io(_)),
            _ => false,
        }
    }

    fn is_permanent(&self) -> bool {
        match self {
            AttemptError::NoTls => true,
            #[cfg(feature = "tls")]
            AttemptError::Tls(error) => error.is_permanent(),
            _ => false,
        }
    }
}

/// A step of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialStep {
    /// Asking for the addresses of a name.
    Resolve,
    /// Connecting over TCP.
    Connect,
    /// The handshake of TLS.
    Tls,
}

impl fmt::Display for DialStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DialStep::Resolve => "resolving the name",
            DialStep::Connect => "connecting",
            DialStep::Tls => "the TLS handshake",
        })
    }
}

/// A connection to a host.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// The bytes.
    pub(crate) stream: Stream,
    /// The host, as configured.
    pub(crate) address: Address,
    /// Its IP address and port.
    pub(crate) peer: SocketAddr,
    /// Until when the AMQP handshake may take, so that time is left for the hosts not yet tried.
    pub(crate) deadline: Instant,
    /// Others were tried before, or are still to be tried: a failure goes into their list.
    pub(crate) among_others: bool,
}

/// Connects to one host after the other: to the next one, where a host that takes connections
/// turns out not to be a broker that talks to us.
#[derive(Debug)]
pub(crate) struct Dialer {
    config: Arc<Config>,
    deadline: Instant,
    /// Hosts whose turn has not come.
    hosts: VecDeque<Address>,
    /// The host whose turn it is, its share of the time, and its records still to be tried.
    current: Option<Current>,
    attempts: Vec<Attempt>,
    #[cfg(feature = "tls")]
    connector: Option<Connector>,
}

#[derive(Debug)]
struct Current {
    host: Address,
    deadline: Instant,
    records: VecDeque<SocketAddr>,
}

impl Dialer {
    pub(crate) fn new(config: Arc<Config>, seed: u64, deadline: Instant) -> Self {
        Dialer {
            hosts: shuffled(&config.hosts, seed).into_iter().cloned().collect(),
            config,
            deadline,
            current: None,
            attempts: Vec::new(),
            #[cfg(feature = "tls")]
            connector: None,
        }
    }

    /// The next connection, or what was tried when there is nothing left to try.
    pub(crate) async fn next(&mut self) -> Result<Dialed, DialError> {
        loop {
            if Instant::now() >= self.deadline {
                return Err(self.out_of_time());
            }
            if let Some((host, peer, share)) = self.next_record() {
                match self.connect(&host, peer, share).await {
                    Ok(stream) => return Ok(self.dialed(stream, host, peer)),
                    Err(cause) => self.failed(&host, Some(peer), cause),
                }
            } else if let Some(host) = self.hosts.pop_front() {
                let share = self.left(self.deadline) / (self.waiting() + 1);
                let deadline = Instant::now() + share;
                match self.resolve(&host, share).await {
                    Ok(records) => self.current = Some(Current { host, deadline, records }),
                    Err(cause) => self.failed(&host, None, cause),
                }
            } else {
                return Err(DialError { attempts: std::mem::take(&mut self.attempts).into() });
            }
        }
    }

    /// Keeps that the AMQP handshake over a connection failed, for the error in the end.
    pub(crate) fn handshake_failed(
        &mut self,
        address: &Address,
        peer: SocketAddr,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) {
        self.failed(address, Some(peer), AttemptError::Handshake(cause.into()));
    }

    /// The next record of the current host, with its share of the host's time.
    fn next_record(&mut self) -> Option<(Address, SocketAddr, Duration)> {
        let current = self.current.as_mut()?;
        let peer = current.records.pop_front()?;
        let others = u32::try_from(current.records.len()).unwrap_or(u32::MAX - 1);
        let left = current.deadline.saturating_duration_since(Instant::now());
        Some((current.host.clone(), peer, left / (others + 1)))
    }

    /// What comes before the first packet: that we can do TLS at all, and the name's records.
    async fn resolve(
        &mut self,
        host: &Address,
        share: Duration,
    ) -> Result<VecDeque<SocketAddr>, AttemptError> {
        if host.scheme == Scheme::Amqps {
            self.prepare_tls().await?;
        }
        let look_up = tokio::net::lookup_host((host.host.as_str(), host.port));
        let records: VecDeque<_> = within(share, DialStep::Resolve, look_up)
            .await?
            .map_err(AttemptError::Resolve)?
            .collect();
        if records.is_empty() { Err(AttemptError::NoRecord) } else { Ok(records) }
    }

    async fn connect(
        &self,
        host: &Address,
        peer: SocketAddr,
        share: Duration,
    ) -> Result<Stream, AttemptError> {
        let start = Instant::now();
        let tcp = within(share, DialStep::Connect, TcpStream::connect(peer))
            .await?
            .map_err(AttemptError::Connect)?;
        // Frames are gathered before they are written: waiting for more would only delay them.
        tcp.set_nodelay(true).map_err(AttemptError::Connect)?;
        match host.scheme {
            Scheme::Amqp => {
                self.warn_of_readable_password(peer);
                Ok(Stream::Plain(tcp))
            }
            Scheme::Amqps => self.secure(tcp, host, share.saturating_sub(start.elapsed())).await,
        }
    }

    #[cfg(feature = "tls")]
    async fn prepare_tls(&mut self) -> Result<(), AttemptError> {
        if self.connector.is_none() {
            let connector = Connector::new(&self.config.tls).await.map_err(AttemptError::Tls)?;
            self.connector = Some(connector);
        }
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    async fn prepare_tls(&mut self) -> Result<(), AttemptError> {
        Err(AttemptError::NoTls)
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        tcp: TcpStream,
        host: &Address,
        share: Duration,
    ) -> Result<Stream, AttemptError> {
        let Some(connector) = &self.connector else { return Err(AttemptError::NoTls) };
        let stream = within(share, DialStep::Tls, connector.connect(tcp, &host.host))
            .await?
            .map_err(AttemptError::Tls)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(&self, _: TcpStream, _: &Address, _: Duration) -> Result<Stream, AttemptError> {
        Err(AttemptError::NoTls)
    }

    fn warn_of_readable_password(&self, peer: SocketAddr) {
        let readable = |at: &Mechanism| matches!(at, Mechanism::Plain | Mechanism::Amqplain);
        if !peer.ip().to_canonical().is_loopback() && self.config.mechanisms.iter().any(readable) {
            tracing::warn!(%peer, "the password goes over the network unencrypted: use amqps://");
        }
    }

    fn dialed(&self, stream: Stream, address: Address, peer: SocketAddr) -> Dialed {
        let records = self.current.as_ref().map_or(0, |current| current.records.len());
        let deadline = match &self.current {
            Some(current) if !self.hosts.is_empty() || records > 0 => current.deadline,
            _ => self.deadline,
        };
        let among_others = !self.hosts.is_empty() || records > 0 || !self.attempts.is_empty();
        Dialed { stream, address, peer, deadline, among_others }
    }

    fn failed(&mut self, host: &Address, peer: Option<SocketAddr>, cause: AttemptError) {
        let attempt = Attempt { address: host.clone(), peer, cause };
        tracing::debug!(%attempt, "could not reach a host");
        self.attempts.push(attempt);
    }

    fn out_of_time(&mut self) -> DialError {
        if let Some(Current { host, records, .. }) = self.current.take() {
            for peer in records {
                self.failed(&host, Some(peer), AttemptError::NotTried);
            }
        }
        while let Some(host) = self.hosts.pop_front() {
            self.failed(&host, None, AttemptError::NotTried);
        }
        DialError { attempts: std::mem::take(&mut self.attempts).into() }
    }

    fn left(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(Instant::now())
    }

    fn waiting(&self) -> u32 {
        u32::try_from(self.hosts.len()).unwrap_or(u32::MAX - 1)
    }
}

async fn within<T>(
    share: Duration,
    step: DialStep,
    future: impl Future<Output = T>,
) -> Result<T, AttemptError> {
    timeout(share, future).await.map_err(|_| AttemptError::TimedOut { step, after: share })
}

/// Fisher and Yates' shuffle on numbers of SplitMix64: enough to spread clients over hosts.
fn shuffled(hosts: &[Address], seed: u64) -> VecDeque<&Address> {
    let mut hosts: VecDeque<&Address> = hosts.iter().collect();
    let mut state = seed;
    for last in (1..hosts.len()).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let other = mixed % (last as u64 + 1);
        hosts.swap(last, usize::try_from(other).unwrap_or(last));
    }
    hosts
}

/// The bytes to and from a broker, encrypted or not.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

#[cfg(test)]
impl Stream {
    /// The socket beneath.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(tcp) => {
                let $stream = Pin::new(tcp);
                $call
            }
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => {
                let $stream = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
pub(super) mod tests;
