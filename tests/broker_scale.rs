//! The embedded broker with many connections and for a long time, in a process of its own, so that
//! what it holds can be told from what its clients hold. Long: `tests/run --long --test broker_scale`.

#[path = "served/mod.rs"]
mod served;

use std::{
    env,
    error::Error,
    fs,
    time::{Duration, Instant},
};

use hopmq::{Conn, Connected, Exchange, Queue, Uri, broker::Broker};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use served::{Served, serve};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Says that this process is to be the broker.
const SERVE: &str = "HOPMQ_TEST_SERVE";

/// The broker: the tests below start this process again for it. By itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_until_killed() -> Result {
    if env::var_os(SERVE).is_none() {
        return Ok(());
    }
    let broker = Broker::bind("127.0.0.1:0").await?;
    Ok(serve(broker).await?)
}

/// That process.
struct Server {
    process: Served,
    uri: Uri,
}

impl Server {
    fn start() -> Result<Self> {
        let process = Served::start("serve_until_killed", SERVE, "1")?;
        Ok(Server { uri: process.uri.parse()?, process })
    }

    /// What the process holds in memory, in kB.
    fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(number.parse()?)
    }

    async fn connect(&self) -> Result<Conn<Connected>> {
        Ok(Conn::new(self.uri.clone()).connect().await?)
    }
}

/// Publishes so many messages to a queue of its own, each confirmed, and takes them back, each acked.
async fn to_and_fro(conn: &Conn<Connected>, messages: usize, size: usize) -> Result {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut deliveries = chan.consume(&queue).prefetch(100).await?;
    let default = Exchange::default_exchange();
    for _ in 0..messages {
        let confirm = chan.publish(&default, &queue, vec![7; size]).await?;
        deliveries.next().await.ok_or("the consumer ended")??.ack()?;
        confirm.await?;
    }
    chan.close().await?;
    Ok(())
}

/// The time that 99 of 100 round trips of a message take at most, in an honest client.
async fn p99(conn: &Conn<Connected>) -> Result<Duration> {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut deliveries = chan.consume(&queue).prefetch(100).await?;
    let default = Exchange::default_exchange();
    let mut took = Vec::new();
    for _ in 0..5_000 {
        let begun = Instant::now();
        let confirm = chan.publish(&default, &queue, b"honest").await?;
        deliveries.next().await.ok_or("the consumer ended")??.ack()?;
        confirm.await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() * 99 / 100])
}

/// Connects again and again and says what nobody should, a hundred times a second.
async fn be_hostile(uri: Uri, number: usize) {
    let greeting = b"AMQP\0\0\x09\x01".as_slice();
    let half_a_frame = [greeting, &[1, 0, 0, 0, 0, 15, 160], &[0; 3_000]].concat();
    let too_large = [greeting, &[1, 0, 0, 255, 255, 255, 255], &[0; 60_000]].concat();
    let heartbeats = [greeting, &[8, 0, 0, 0, 0, 0, 0, 0xCE].repeat(1_000)].concat();
    let sayings = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), half_a_frame, too_large, heartbeats];
    let said = &sayings[number % sayings.len()];
    let address = uri.hosts()[0].to_string();
    loop {
        if let Ok(mut socket) = TcpStream::connect(&address).await {
            let _ = socket.write_all(said).await;
            let mut answer = [0; 1024];
            let read = socket.read(&mut answer);
            let _ = tokio::time::timeout(Duration::from_millis(50), read).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

mod long {
    use super::*;

    #[ignore = "long: run tests/run --long"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn others_hardly_notice_hostile_clients() -> Result {
        let server = Server::start()?;
        let conn = server.connect().await?;
        p99(&conn).await?;
        let alone = p99(&conn).await?;
        let mut hostile = JoinSet::new();
        for number in 0..20 {
            hostile.spawn(be_hostile(server.uri.clone(), number));
        }
        let beside = p99(&conn).await?;
        println!("p99 alone {alone:.0?}, beside {} hostile clients {beside:.0?}", hostile.len());
        // A time is asserted with room, since a machine does other things too.
        assert!(beside < alone * 2 + Duration::from_millis(5), "{alone:?}, then {beside:?}");
        Ok(())
    }

    #[ignore = "long: run tests/run --long"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ten_thousand_idle_connections_and_a_thousand_active_ones() -> Result {
        const IDLE: usize = 10_000;
        const ACTIVE: usize = 1_000;
        let server = Server::start()?;
        drop(server.connect().await?);
        let (before, since) = (server.resident()?, Instant::now());
        let mut connections = Vec::with_capacity(IDLE);
        while connections.len() < IDLE {
            // A hundred at a time: a listener's line of those that wait is short.
            let mut together = JoinSet::new();
            for _ in 0..100 {
                let uri = server.uri.clone();
                together.spawn(async move { Conn::new(uri).connect().await });
            }
            while let Some(connected) = together.join_next().await {
                connections.push(connected??);
            }
        }
        let each = (server.resident()? - before) as f64 / IDLE as f64;
        println!("{IDLE} idle connections in {:.1?}: {each:.1} kB each", since.elapsed());
        assert!(each < 64.0, "{each} kB for an idle connection");

        let since = Instant::now();
        let mut active = JoinSet::new();
        for conn in connections.drain(..ACTIVE) {
            active.spawn(async move { to_and_fro(&conn, 100, 1024).await.map(|()| conn) });
        }
        while let Some(done) = active.join_next().await {
            connections.push(done??);
        }
        let took = since.elapsed();
        let rate = (ACTIVE * 100) as f64 / took.as_secs_f64();
        println!("{ACTIVE} active among them: {rate:.0} messages a second to and fro");
        assert_eq!(connections.len(), IDLE, "none was lost meanwhile");
        for conn in &connections {
            assert!(conn.close_reason().is_none());
        }
        Ok(())
    }

    /// `HOPMQ_TEST_SOAK_SECONDS` long, 600 by default.
    #[ignore = "long: run tests/run --long"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_stays_flat_under_load() -> Result {
        let seconds = env::var("HOPMQ_TEST_SOAK_SECONDS").map_or(Ok(600), |text| text.parse())?;
        let server = Server::start()?;
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut load = JoinSet::new();
        for number in 0..8_usize {
            let uri = server.uri.clone();
            load.spawn(async move {
                let mut rounds = 0_u64;
                while Instant::now() < until {
                    // Connections, channels and queues come and go, too.
                    let conn = Conn::new(uri.clone()).connect().await?;
                    to_and_fro(&conn, 2_000, 64 << number).await?;
                    conn.close().await?;
                    rounds += 1;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(rounds * 2_000)
            });
        }
        let mut curve = Vec::new();
        let every = Duration::from_secs((seconds / 60).max(1));
        while Instant::now() + every < until {
            tokio::time::sleep(every).await;
            curve.push(server.resident()?);
        }
        let mut messages = 0;
        while let Some(done) = load.join_next().await {
            messages += done??;
        }
        println!("{messages} messages in {seconds} s; resident kB every {every:?}: {curve:?}");
        let (early, late) = curve.split_at(curve.len() / 2);
        let most = |part: &[u64]| part.iter().max().copied().unwrap_or_default();
        let (early, late) = (most(early), most(late));
        assert!(late <= early + early / 10 + 1024, "{early} kB at most, later {late} kB");
        Ok(())
    }
}
