//! A port: who connects is accepted and served; and the task that keeps the core's time.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

#[cfg(feature = "tls")]
use super::tls::ServerTls;
use super::{ConnectionId, connection::Connection, event::Event, shared::Shared, socket::Socket};

/// What is spoken beneath AMQP.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    Plain,
    #[cfg(feature = "tls")]
    Tls(ServerTls),
}

impl Scheme {
    /// As it stands in an address.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Scheme::Plain => "amqp",
            #[cfg(feature = "tls")]
            Scheme::Tls(_) => "amqps",
        }
    }

    fn socket(&self, stream: TcpStream) -> io::Result<Socket> {
        match self {
            Scheme::Plain => Ok(Socket::Plain(stream)),
            #[cfg(feature = "tls")]
            Scheme::Tls(tls) => tls.accept(stream).map(Box::new).map(Socket::Tls),
        }
    }
}

/// Serves whoever connects to this listener.
pub(super) fn open(
    shared: &Arc<Shared>,
    listener: TcpListener,
    scheme: Scheme,
) -> io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(address, listener);
    shared.keep(tokio::spawn(accept(Arc::clone(shared), address, scheme)).abort_handle());
    Ok(address)
}

/// Serves whoever connects, until the listener is taken away.
async fn accept(shared: Arc<Shared>, address: SocketAddr, scheme: Scheme) {
    while let Some(accepted) = next(&shared, address).await {
        match accepted {
            Ok((_, from)) if shared.closed.load(Ordering::Acquire) => {
                shared.announce(Event::TurnedAway { from });
            }
            Ok((stream, from)) => {
                let Ok(socket) = scheme.socket(stream) else { continue };
                let connection =
                    Connection::new(Arc::clone(&shared), socket, from.ip().is_loopback());
                let conn = connection.id();
                let id = ConnectionId(conn);
                shared.announce(Event::Accepted { connection: id, port: address, from });
                let task = tokio::spawn(connection.run());
                shared.set_task(conn, task.abort_handle());
            }
            // Out of file descriptors, or the client is gone already: neither ends the broker.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn next(shared: &Shared, address: SocketAddr) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|context| {
        let listeners = shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        match listeners.get(&address) {
            Some(listener) => listener.poll_accept(context).map(Some),
            None => Poll::Ready(None),
        }
    })
    .await
}

/// Does what falls due in the core.
pub(super) async fn tick(shared: Arc<Shared>) {
    loop {
        let due = shared.with(None, |core, now| {
            core.handle_timeout(now);
            core.poll_timeout()
        });
        shared.armed.store(due.map_or(u64::MAX, |due| due.as_nanos()), Ordering::Release);
        let wait = Duration::from_secs(3_600);
        let until =
            due.map_or_else(|| tokio::time::Instant::now() + wait, |due| shared.instant(due));
        let mut sleep = pin!(tokio::time::sleep_until(until));
        poll_fn(|context| {
            let rung = shared.clock.heard(context);
            if rung || sleep.as_mut().poll(context).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
