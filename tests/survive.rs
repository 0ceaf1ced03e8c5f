//! A RabbitMQ node is killed and restarted while messages flow: nothing confirmed is lost, every
//! future resolves, duplicates carry the same message id.

mod node;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hopmq::{
    Chan, Config, Confirm, Confirming, Conn, Connected, ConnectionState, Consumer, Error, Exchange,
    Message, Queue, Quorum, Unconfirmed, Uri,
    exchange::DefaultExchange,
    fsm::supervisor::{Backoff, Policy},
    queue::QueueKind,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const WINDOW: usize = 500;

fn config(uri: &str) -> Config {
    let millis = Duration::from_millis;
    Config::from(uri.parse::<Uri>().expect("the node's own address")).recovery(Policy {
        backoff: Backoff::exponential(millis(50), millis(1000)),
        breaker: None,
        ..Policy::default()
    })
}

async fn connected(uri: &str) -> Result<Conn<Connected>> {
    Ok(Conn::new(config(uri)).connect().await?)
}

/// Publishes `count` numbered messages, `WINDOW` at a time; what is unknown or refused is
/// published again.
struct Publisher<K> {
    chan: Chan<Confirming>,
    default: Exchange<DefaultExchange>,
    queue: Queue<K>,
    outstanding: VecDeque<Confirm>,
    confirmed: Arc<AtomicU64>,
    /// It waits before the message with this number.
    until: Arc<AtomicU64>,
    unknown: u64,
}

impl<K: QueueKind> Publisher<K> {
    async fn on(
        conn: &Conn<Connected>,
        queue: Queue<K>,
        confirmed: Arc<AtomicU64>,
    ) -> Result<Self> {
        Ok(Publisher {
            chan: conn.open_channel().await?.confirm_select().await?,
            default: Exchange::default_exchange(),
            queue,
            outstanding: VecDeque::new(),
            confirmed,
            until: Arc::new(AtomicU64::new(u64::MAX)),
            unknown: 0,
        })
    }

    async fn publish(&mut self, mut message: Message) {
        loop {
            match self.chan.publish(&self.default, &self.queue, message).await {
                Ok(confirm) => return self.outstanding.push_back(confirm),
                Err(failed) => {
                    let (error, back) = failed.into_parts();
                    assert!(error.is_transient(), "{error:?}");
                    message = back;
                }
            }
        }
    }

    async fn settle_oldest(&mut self) {
        let Some(oldest) = self.outstanding.pop_front() else { return };
        match oldest.await {
            Ok(()) => {
                self.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            Err(failed) => {
                let (reason, message) = failed.into_parts();
                // A quorum queue that has no leader at this moment refuses.
                assert!(
                    matches!(reason, Unconfirmed::Unknown(_) | Unconfirmed::Nacked),
                    "{reason:?}"
                );
                self.unknown += 1;
                self.publish(message).await;
            }
        }
    }

    async fn run(mut self, count: u64) -> u64 {
        for number in 0..count {
            while number >= self.until.load(Ordering::Relaxed) {
                self.settle_oldest().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let id = number.to_string();
            self.publish(Message::new(number.to_be_bytes()).message_id(&id)).await;
            while self.outstanding.len() >= WINDOW {
                self.settle_oldest().await;
            }
        }
        while !self.outstanding.is_empty() {
            self.settle_oldest().await;
        }
        self.unknown
    }
}

/// How long connections took to be back once the node was ready.
#[derive(Debug, Default)]
struct Figures {
    /// With a retry policy capped at a second.
    capped: Vec<Duration>,
    /// With the default policy.
    default: Vec<Duration>,
    /// Recoveries with the default policy that the next kill came before.
    overtaken: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |times: &[Duration]| {
            let mean = times.iter().sum::<Duration>() / times.len().max(1) as u32;
            let most = times.iter().max().copied().unwrap_or_default();
            format!("{mean:.2?} in the mean, {most:.2?} at most")
        };
        let (capped, default) = (show(&self.capped), show(&self.default));
        write!(f, "after the node was ready, capped at 1 s: {capped}; default policy: {default}")?;
        write!(f, " ({} not back before the next kill)", self.overtaken)
    }
}

/// Waits until the connection is back, and tells how long that took.
async fn back(conn: &Conn<Connected>) -> Duration {
    let ready = Instant::now();
    while conn.state() != ConnectionState::Connected {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ready.elapsed()
}

/// Kills and restarts the node, evenly over the messages.
async fn chaos(
    node: node::Node,
    kills: u64,
    messages: u64,
    confirmed: Arc<AtomicU64>,
) -> Result<(node::Node, Figures)> {
    let capped = connected(&node.uri()).await?;
    let default = Arc::new(Conn::new(node.uri().parse::<Uri>()?).connect().await?);
    let mut figures = Figures::default();
    let mut waiting = Vec::new();
    tokio::task::block_in_place(|| node.sync_definitions());
    for kill in 1..=kills {
        while confirmed.load(Ordering::Relaxed) < kill * messages / (kills + 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for watched in waiting.drain(..) {
            settle_watch(watched, &mut figures, Duration::ZERO).await;
        }
        tokio::task::block_in_place(|| {
            node.kill();
            node.restart();
        });
        let watched = default.clone();
        waiting.push(tokio::spawn(async move { back(&watched).await }));
        // What a handshake takes on this machine at this moment is not the policy's doing.
        let fresh = async {
            let begun = Instant::now();
            connected(&node.uri()).await.map(|_| begun.elapsed())
        };
        let (took, fresh) = tokio::join!(back(&capped), fresh);
        let fresh = fresh?;
        println!("kill {kill}: back after {took:.2?}; a new connection took {fresh:.2?}");
        assert!(took <= Duration::from_secs(1) + 2 * fresh, "back after {took:?}");
        figures.capped.push(took);
    }
    for watched in waiting {
        settle_watch(watched, &mut figures, Duration::from_secs(60)).await;
    }
    Ok((node, figures))
}

async fn settle_watch(
    mut watched: tokio::task::JoinHandle<Duration>,
    figures: &mut Figures,
    patience: Duration,
) {
    match tokio::time::timeout(patience, &mut watched).await {
        Ok(Ok(took)) => figures.default.push(took),
        _ => {
            watched.abort();
            figures.overtaken += 1;
        }
    }
}

/// Consumes until every message has been seen, and gives how many were seen again.
async fn see_all(deliveries: &mut Consumer, messages: u64) -> Result<u32> {
    let mut seen = HashMap::<u64, u32>::new();
    while seen.len() < messages as usize {
        let next = tokio::time::timeout(Duration::from_secs(120), deliveries.next()).await?;
        let delivery = next.ok_or("the consumer ended")??;
        let body: [u8; 8] = delivery.body().into_bytes()[..].try_into()?;
        let number = u64::from_be_bytes(body);
        assert_eq!(delivery.properties().message_id(), Some(number.to_string().as_str()));
        *seen.entry(number).or_default() += 1;
        match delivery.ack() {
            Ok(()) | Err(Error::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen.values().map(|times| times - 1).sum())
}

/// Kills and restarts the node this often while this many messages flow.
async fn survives(kills: u64, messages: u64) -> Result<()> {
    let node = tokio::task::spawn_blocking(node::Node::start).await?;
    let consuming = connected(&node.uri()).await?;
    let chan = consuming.open_channel().await?;
    let queue = chan.declare(Queue::classic("survive")).await?;
    let mut deliveries = chan.consume(&queue).prefetch(500).await?;
    let publishing = connected(&node.uri()).await?;
    let confirmed = Arc::new(AtomicU64::new(0));
    let publisher = Publisher::on(&publishing, queue.clone(), confirmed.clone()).await?;
    let publisher = tokio::spawn(publisher.run(messages));

    let chaos = tokio::spawn(chaos(node, kills, messages, confirmed));

    let duplicates = see_all(&mut deliveries, messages).await?;
    let unknown = publisher.await?;
    let (node, figures) = chaos.await??;
    let recoveries = consuming.stats().machine.recoveries;
    println!(
        "{messages} messages, {kills} kills: 0 lost, {duplicates} seen again, {unknown} published \
         again, {recoveries} recoveries; {figures}"
    );
    assert!(u64::from(duplicates) <= (kills + 1) * 2 * WINDOW as u64, "a window per kill and side");
    drop(node);
    Ok(())
}

/// Waits until the queue is on all nodes again: with two of three gone at once it would have to wait.
fn await_members(cluster: &node::Cluster) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let queues = cluster.nodes[0].ctl(&["list_queues", "--silent", "name", "online"]);
        if cluster.nodes.iter().all(|node| queues.contains(&node.erlang_name())) {
            return;
        }
        assert!(Instant::now() < deadline, "not on all nodes: {queues}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Kills and restarts the nodes in turn. Others carry on meanwhile: the publisher waits now and then, so
/// that each kill comes in the middle of messages.
async fn chaos_in_turn(
    cluster: node::Cluster,
    kills: u64,
    messages: u64,
    confirmed: Arc<AtomicU64>,
    until: Arc<AtomicU64>,
) -> Result<node::Cluster> {
    let share = messages / (kills + 1);
    for kill in 1..=kills {
        until.store((kill + 1) * share, Ordering::Relaxed);
        while confirmed.load(Ordering::Relaxed) < kill * share {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::block_in_place(|| {
            let node = &cluster.nodes[kill as usize % cluster.nodes.len()];
            node.kill();
            node.restart();
            await_members(&cluster);
        });
        println!("kill {kill} after {} messages", kill * share);
    }
    until.store(u64::MAX, Ordering::Relaxed);
    Ok(cluster)
}

/// Kills the nodes of a cluster in turn while so many messages flow through a quorum queue.
async fn survives_in_cluster(kills: u64, messages: u64) -> Result<()> {
    let cluster = tokio::task::spawn_blocking(node::Cluster::three).await?;
    let uri = cluster.uri();
    let consuming = connected(&uri).await?;
    let chan = consuming.open_channel().await?;
    let queue: Queue<Quorum> = chan.declare(Queue::quorum("survive")).await?;
    let mut deliveries = chan.consume(&queue).prefetch(500).await?;
    let publishing = connected(&uri).await?;
    // Enough for some to be on each node.
    let mut watching = Vec::new();
    for _ in 0..30 {
        watching.push(connected(&uri).await?);
    }
    let confirmed = Arc::new(AtomicU64::new(0));
    let publisher = Publisher::on(&publishing, queue.clone(), confirmed.clone()).await?;
    let until = publisher.until.clone();
    until.store(0, Ordering::Relaxed);
    let publisher = tokio::spawn(publisher.run(messages));
    let chaos = tokio::spawn(chaos_in_turn(cluster, kills, messages, confirmed, until));

    let duplicates = see_all(&mut deliveries, messages).await?;
    let unknown = publisher.await?;
    let cluster = chaos.await??;
    let losses: u64 = watching.iter().map(|conn| conn.stats().machine.losses).sum();
    let longest = |conns: &[&Conn<Connected>]| {
        conns.iter().map(|conn| conn.stats().machine.longest_recovery).max().unwrap_or_default()
    };
    let elsewhere = longest(&watching.iter().collect::<Vec<_>>());
    println!(
        "{messages} messages, {kills} kills in a cluster: 0 lost, {duplicates} seen again, {unknown} \
         published again; {losses} other connections lost their node and had another after {elsewhere:.2?} \
         at most, those in use after {:.2?}",
        longest(&[&consuming, &publishing])
    );
    assert!(losses > 0, "no connection was on a node that was killed");
    assert!(u64::from(duplicates) <= (kills + 1) * 2 * WINDOW as u64, "a window per kill and side");
    // What a handshake takes on a busy machine is not the policy's doing.
    assert!(elsewhere < Duration::from_secs(5), "failed over after {elsewhere:?}");
    for conn in &watching {
        assert_eq!(conn.state(), ConnectionState::Connected);
    }
    drop(cluster);
    Ok(())
}

mod own_nodes {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn nothing_confirmed_is_lost_while_the_node_is_killed() -> super::Result<()> {
        super::survives(3, 20_000).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn nothing_confirmed_is_lost_when_a_node_of_a_cluster_is_killed() -> super::Result<()> {
        super::survives_in_cluster(1, 4_000).await
    }
}

mod long {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn nothing_confirmed_is_lost_in_fifty_kills_and_a_million_messages() -> super::Result<()>
    {
        super::survives(50, 1_000_000).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn nothing_confirmed_is_lost_in_fifteen_kills_in_a_cluster() -> super::Result<()> {
        super::survives_in_cluster(15, 300_000).await
    }
}
