//! The network swallows everything and tells nobody.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hopmq::{Conn, ConnectionState, Exchange, Queue, broker::Broker};

use crate::{
    PATIENCE, Result, becomes, config, patiently,
    proxy::{Proxy, Way},
};

/// How soon the hole was found, and how soon after its end the connection was whole.
#[derive(Debug)]
struct Times {
    found: Duration,
    healed: Duration,
}

async fn fall(
    broker: SocketAddr,
    ways: &[Way],
    heartbeat: Duration,
    lasting: Duration,
) -> Result<Times> {
    let proxy = Proxy::to(broker).await;
    let config = config(&proxy.uri())
        .heartbeat(heartbeat)
        .connection_timeout(Duration::from_secs(1))
        .call_timeout(PATIENCE);
    let conn = Conn::new(config).connect().await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let queue = publisher.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    publisher.publish(&default, &queue, b"before").await?.await?;

    proxy.swallow(ways);
    let begun = Instant::now();
    let confirm = publisher.publish(&default, &queue, b"swallowed").at_least_once().await?;
    becomes(&conn, |state| {
        !matches!(state, ConnectionState::Connected | ConnectionState::Degraded)
    })
    .await;
    let found = begun.elapsed();
    tokio::time::sleep(lasting.saturating_sub(found)).await;
    proxy.swallow(&[]);
    let begun = Instant::now();
    becomes(&conn, |state| state == ConnectionState::Connected).await;
    let healed = begun.elapsed();
    patiently(confirm).await?;
    patiently(patiently(publisher.publish(&default, &queue, b"after")).await?).await?;
    println!(
        "{ways:?} for {lasting:?}, heartbeat {heartbeat:?}: found {found:.2?}, healed {healed:.2?}"
    );
    Ok(Times { found, healed })
}

const HOLES: [&[Way]; 3] = [&[Way::Up, Way::Down], &[Way::Down], &[Way::Up]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_found_and_survived() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let second = Duration::from_secs(1);
    let holes = HOLES.map(|ways| {
        let address = broker.address();
        tokio::spawn(async move { fall(address, ways, second, 4 * second).await })
    });
    for hole in holes {
        let times = hole.await??;
        // Generous, for machines that are busy.
        assert!(times.found < 4 * second && times.healed < 10 * second, "{times:?}");
    }
    Ok(())
}

mod long {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn fifteen_seconds_in_a_black_hole() -> Result<()> {
        let (heartbeat, tick) = (Duration::from_secs(4), Duration::from_secs(1));
        let holes = HOLES.map(|ways| {
            let (broker, lasting) = (crate::shared_node(), Duration::from_secs(15));
            tokio::spawn(async move { fall(broker, ways, heartbeat, lasting).await })
        });
        for (hole, ways) in holes.into_iter().zip(HOLES) {
            let times = hole.await??;
            // What goes up alone is missed by the broker, which looks once in an interval.
            let looks = if ways == [Way::Up] { heartbeat } else { Duration::ZERO };
            assert!(times.found <= 2 * heartbeat + tick + looks, "{ways:?}: {times:?}");
            assert!(times.healed <= Duration::from_secs(2), "{ways:?}: {times:?}");
        }
        Ok(())
    }
}
