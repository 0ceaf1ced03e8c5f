//! Many connections lose their broker at once: all come back soon, and not all at the same moment.

use std::time::{Duration, Instant};

use hopmq::{Chan, Config, Conn, Connected, ConnectionState, Open, broker::Broker};
use tokio::task::JoinSet;

use crate::{Result, config, patiently};

/// Dialled at a time when the crowd gathers: brokers let few wait to be accepted.
const AT_A_TIME: usize = 50;

const MOMENT: Duration = Duration::from_millis(100);

struct Crowd(Vec<(Conn<Connected>, Chan<Open>)>);

/// How a crowd came back.
#[derive(Debug)]
struct Return {
    /// When the last was back, after the broker was ready.
    last: Duration,
    /// The most attempts within a moment after the broker was ready.
    rush: u64,
}

impl Crowd {
    async fn gather(config: Config, count: usize) -> Result<Crowd> {
        let mut members = Vec::new();
        while members.len() < count {
            let mut coming = JoinSet::new();
            for _ in 0..AT_A_TIME {
                let conn = Conn::new(config.clone()).connect();
                coming.spawn(async {
                    let conn = conn.await?;
                    let chan = conn.open_channel().await?;
                    Result::Ok((conn, chan))
                });
            }
            for member in coming.join_all().await {
                members.push(member?);
            }
        }
        Ok(Crowd(members))
    }

    fn attempts(&self) -> u64 {
        self.0.iter().map(|(conn, _)| conn.stats().machine.attempts).sum()
    }

    fn is_back(&self) -> bool {
        self.0.iter().all(|(conn, _)| {
            conn.state() == ConnectionState::Connected && conn.stats().machine.recoveries > 0
        })
    }

    /// From the moment at which the broker is ready on.
    async fn comes_back(&self) -> Return {
        let ready = Instant::now();
        let (mut attempts, mut rush) = (self.attempts(), 0);
        let mut looked = ready;
        patiently(async {
            loop {
                tokio::time::sleep(MOMENT).await;
                let (now, moments) = (self.attempts(), looked.elapsed().as_secs_f64() / 0.1);
                looked = Instant::now();
                // A look may come late.
                rush = rush.max(((now - attempts) as f64 / moments).ceil() as u64);
                attempts = now;
                if self.is_back() {
                    return Return { last: ready.elapsed(), rush };
                }
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_comes_back_without_a_stampede() -> Result<()> {
    const COUNT: usize = 200;
    let broker = Broker::bind("127.0.0.1:0").await?;
    let address = broker.address();
    let crowd = Crowd::gather(config(&broker.uri()), COUNT).await?;
    drop(broker);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _broker = Broker::bind(address).await?;
    let back = crowd.comes_back().await;
    println!("{COUNT} connections: {back:.2?}");
    // Spread over the second to which waits have grown; evenly that would be a tenth.
    assert!(back.rush < COUNT as u64 / 3, "{back:?}");
    Ok(())
}

mod long {
    use super::*;
    use crate::node::Node;

    const COUNT: usize = 1_000;

    async fn node_restarts(config: impl FnOnce(&str) -> Config) -> Result<Return> {
        let node = tokio::task::spawn_blocking(Node::start).await?;
        let crowd = Crowd::gather(config(&node.uri()), COUNT).await?;
        let node = tokio::task::spawn_blocking(move || {
            node.kill();
            node.restart();
            node
        });
        let _node = node.await?;
        let back = crowd.comes_back().await;
        println!("{COUNT} connections: {back:.2?}");
        Ok(back)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn a_thousand_connections_are_back_within_ten_seconds() -> Result<()> {
        let back = node_restarts(config).await?;
        assert!(back.last < Duration::from_secs(10), "{back:?}");
        assert!(back.rush < COUNT as u64 / 3, "{back:?}");
        Ok(())
    }

    /// With the default policy too, which gives a broker more peace.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn a_thousand_connections_are_back_by_default() -> Result<()> {
        let back = node_restarts(|uri| uri.parse().expect("an address")).await?;
        assert!(back.last < Duration::from_secs(10), "{back:?}");
        assert!(back.rush < COUNT as u64 / 10, "{back:?}");
        Ok(())
    }
}
