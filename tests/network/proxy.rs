//! A network that a test can spoil: a proxy in front of a broker that cuts, resets and swallows.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// A connection is cut when so many bytes have gone this way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    pub(crate) behind: usize,
}

/// What the network does at present.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    up_is_swallowed: bool,
    down_is_swallowed: bool,
    resets: u64,
}

#[derive(Debug)]
struct Control {
    weather: watch::Sender<Weather>,
    /// For the connections to come, one each.
    cuts: Mutex<VecDeque<Cut>>,
    accepted: AtomicUsize,
}

/// The proxy; with it end its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port, in front of a broker on this machine.
    pub(crate) async fn to(broker: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (weather, cuts) = (watch::Sender::new(Weather::default()), Mutex::default());
        let control = Arc::new(Control { weather, cuts, accepted: AtomicUsize::new(0) });
        let task = tokio::spawn(serve(listener, broker, control.clone()));
        Proxy { address, control, task }
    }

    /// `amqp://guest:guest@` and where the proxy listens.
    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@{}", self.address)
    }

    /// How many connections it has taken.
    pub(crate) fn accepted(&self) -> usize {
        self.control.accepted.load(Ordering::Relaxed)
    }

    /// Resets all connections.
    pub(crate) fn reset(&self) {
        self.control.weather.send_modify(|weather| weather.resets += 1);
    }

    /// From now on nothing gets through these ways, and nobody is told; an empty list heals it.
    pub(crate) fn swallow(&self, ways: &[Way]) {
        self.control.weather.send_modify(|weather| {
            weather.up_is_swallowed = ways.contains(&Way::Up);
            weather.down_is_swallowed = ways.contains(&Way::Down);
        });
    }

    /// The next connections are cut so, one after the other.
    pub(crate) fn cut_next(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.control.cuts.lock().expect("nobody panics").extend(cuts);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, broker: SocketAddr, control: Arc<Control>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        control.accepted.fetch_add(1, Ordering::Relaxed);
        connections.spawn(relay(client, broker, control.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, until both have said all, or it is cut.
async fn relay(mut client: TcpStream, broker: SocketAddr, control: Arc<Control>) {
    let mut weather = control.weather.subscribe();
    let resets = weather.borrow().resets;
    let cut = control.cuts.lock().expect("nobody panics").pop_front();
    let Ok(mut broker) = TcpStream::connect(broker).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let whole = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let up = pump(from_client, to_broker, Way::Up, cut, weather.clone());
        let down = pump(from_broker, to_client, Way::Down, cut, weather.clone());
        tokio::select! {
            over = async { tokio::try_join!(up, down) } => over.is_ok(),
            _ = weather.wait_for(|weather| weather.resets > resets) => false,
        }
    };
    if !whole {
        let _ = (client.set_zero_linger(), broker.set_zero_linger());
    }
}

/// The connection is to be cut.
struct CutOff;

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    cut: Option<Cut>,
    mut weather: watch::Receiver<Weather>,
) -> Result<(), CutOff> {
    let mut left = cut.filter(|cut| cut.way == way).map(|cut| cut.behind);
    let mut block = vec![0; 64 * 1024];
    loop {
        if left == Some(0) {
            return Err(CutOff);
        }
        let read = from.read(&mut block).await;
        let swallowed = |weather: &Weather| match way {
            Way::Up => weather.up_is_swallowed,
            Way::Down => weather.down_is_swallowed,
        };
        let _ = weather.wait_for(|weather| !swallowed(weather)).await;
        let count = match read {
            Ok(0) => break,
            Ok(count) => count.min(left.unwrap_or(count)),
            Err(_) => return Err(CutOff),
        };
        left = left.map(|left| left - count);
        if to.write_all(&block[..count]).await.is_err() {
            return Err(CutOff);
        }
    }
    let _ = to.shutdown().await;
    Ok(())
}
