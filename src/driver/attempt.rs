//! One attempt to connect: one host after the other, within one deadline and with the same
//! credentials.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    dial::{DialError, Dialed, Dialer},
    sasl,
};
use crate::{
    config::{Address, Config, IssueError, Issued},
    proto::{Cause, Loss, Mechanism},
};

/// The hosts that are left to try, and what became of the others.
#[derive(Debug)]
pub(super) struct Attempt {
    config: Arc<Config>,
    deadline: Instant,
    dialer: Dialer,
    issued: Option<Issued>,
    /// The host that was reached last.
    reached: Option<(Address, SocketAddr)>,
}

/// Why no socket could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptFailure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no credentials")]
    Credentials(#[source] IssueError),
}

impl AttemptFailure {
    /// Whether only another configuration can help.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, AttemptFailure::Dial(error) if error.is_permanent())
    }
}

/// With what was tried as its inner error, where that is known.
impl From<AttemptFailure> for io::Error {
    fn from(failure: AttemptFailure) -> Self {
        match failure {
            AttemptFailure::Dial(error) => io::Error::other(error),
            failure => io::Error::other(failure),
        }
    }
}

impl Attempt {
    pub(super) fn new(config: Arc<Config>, seed: u64) -> Self {
        // What overflows is as good as a century.
        let timeout = config.connection_timeout.min(Duration::from_secs(u32::MAX.into()));
        let deadline = Instant::now() + timeout;
        let dialer = Dialer::new(config.clone(), seed, deadline);
        Attempt { config, deadline, dialer, issued: None, reached: None }
    }

    /// Opens a socket to the next host. The credentials are asked for once.
    pub(super) async fn next(mut self: Box<Self>) -> (Box<Self>, Result<Dialed, AttemptFailure>) {
        let dialed = self.dial().await;
        (self, dialed)
    }

    async fn dial(&mut self) -> Result<Dialed, AttemptFailure> {
        if self.issued.is_none() {
            let issued = timeout_at(self.deadline, self.config.issue()).await;
            let issued =
                issued.unwrap_or_else(|_| Err("the provider did not answer in time".into()));
            self.issued = Some(issued.map_err(AttemptFailure::Credentials)?);
        }
        let dialed = self.dialer.next().await?;
        self.reached = Some((dialed.address.clone(), dialed.peer));
        Ok(dialed)
    }

    /// How to log in on the socket.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        self.issued.as_ref().map_or_else(Vec::new, |issued| {
            sasl::mechanisms(&self.config.mechanisms, &issued.credentials)
        })
    }

    /// When to renew the credentials.
    pub(super) fn refresh_in(&self) -> Option<Duration> {
        self.issued.as_ref()?.refresh_in()
    }

    /// The host that was reached last would not talk AMQP with us; `socket` is the socket's error,
    /// if that is why.
    pub(super) fn host_failed(&mut self, cause: &Cause, socket: Option<Arc<io::Error>>) {
        let Some((address, peer)) = self.reached.take() else { return };
        match (cause, socket) {
            (Cause::Lost(Loss::Io(_) | Loss::Tls), Some(error)) => {
                self.dialer.handshake_failed(&address, peer, error);
            }
            _ => self.dialer.handshake_failed(&address, peer, cause.clone()),
        }
    }
}
