//! A wire between client and broker that can be cut.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use hopmq::{Address, Config};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinHandle},
};

use crate::place::Outcome;

/// Forwards connections to a broker until it is told to cut them.
pub(crate) struct Proxy {
    config: Config,
    wires: Arc<Mutex<Vec<AbortHandle>>>,
    holds: Arc<AtomicBool>,
    dialled: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(config: Config) -> Outcome<Self> {
        let target = config.hosts.first().ok_or("a host")?.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let here = Address::plain("127.0.0.1").port(listener.local_addr()?.port());
        let (wires, holds) =
            (Arc::<Mutex<Vec<AbortHandle>>>::default(), Arc::<AtomicBool>::default());
        let (lines, held) = (wires.clone(), holds.clone());
        let dialled = Arc::<AtomicUsize>::default();
        let count = dialled.clone();
        let listening = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if held.load(Ordering::Relaxed) {
                    continue;
                }
                let target = target.clone();
                let wire = tokio::spawn(async move {
                    let to = (target.host.as_str(), target.port);
                    if let Ok(mut broker) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut client, &mut broker).await;
                    }
                });
                lines.lock().expect("unpoisoned").push(wire.abort_handle());
            }
        });
        Ok(Proxy { config: config.host(here), wires, holds, dialled, listening })
    }

    /// How to connect through it.
    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    /// How often it was dialled.
    pub(crate) fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        for wire in self.wires.lock().expect("unpoisoned").drain(..) {
            wire.abort();
        }
    }

    /// Cuts every connection, and hangs up on whoever dials.
    pub(crate) fn hold(&self) {
        self.holds.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Forwards again.
    pub(crate) fn release(&self) {
        self.holds.store(false, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}
