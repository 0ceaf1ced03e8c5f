//! Real sockets that are cut in the middle of what matters. That it holds behind *every* byte is shown
//! without sockets, in `tests/sim/offsets.rs`.

use std::time::{Duration, Instant};

use hopmq::{
    Config, Conn, ConnectionState, Exchange, Queue, broker::Broker, fsm::supervisor::Policy,
};

use crate::{
    Result, becomes, config, patiently,
    proxy::{Cut, Proxy, Way},
};

/// Around the ends of frames, and in the middle of them.
const BEHIND: [usize; 12] = [0, 1, 7, 8, 9, 100, 300, 350, 400, 450, 500, 550];

fn samples() -> impl Iterator<Item = Cut> {
    BEHIND.iter().flat_map(|&behind| [Way::Up, Way::Down].map(|way| Cut { way, behind }))
}

#[tokio::test]
async fn a_handshake_that_is_cut_is_reported_at_once() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let proxy = Proxy::to(broker.address()).await;
    let mut reported = 0;
    for cut in samples() {
        proxy.cut_next([cut]);
        match patiently(Conn::new(config(&proxy.uri())).connect()).await {
            Ok(conn) => {
                // The cut comes later, if at all.
                patiently(conn.close()).await?;
            }
            Err(failed) => {
                reported += 1;
                let error = failed.into_parts().0;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(reported >= 10, "only {reported}");
    Ok(())
}

#[tokio::test]
async fn a_recovery_that_is_cut_again_and_again_comes_to_its_end() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let proxy = Proxy::to(broker.address()).await;
    let conn = Conn::new(config(&proxy.uri())).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let default = Exchange::default_exchange();
    let samples: Vec<_> = samples().filter(|cut| cut.behind >= 8).collect();
    for (round, three) in samples.chunks(3).enumerate() {
        proxy.cut_next(three.iter().copied());
        proxy.reset();
        let body = vec![round as u8];
        let published = publisher.publish(&default, &inbox, body.clone()).at_least_once();
        patiently(patiently(published).await?).await?;
        loop {
            let delivery = patiently(deliveries.next()).await.expect("a delivery")?;
            let is_it = delivery.body().into_bytes() == body;
            let _ = delivery.ack();
            if is_it {
                break;
            }
        }
        // A cut further along than a recovery goes comes to nothing, for its connection lives.
        while proxy.cuts_to_come() > 0 {
            proxy.reset();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        becomes(&conn, |state| state == ConnectionState::Connected).await;
    }
    assert!(conn.stats().not_recovered.is_empty());
    assert!(proxy.accepted() > samples.len());
    println!("{} connections for {} cuts", proxy.accepted(), samples.len());
    Ok(())
}

/// Closing ends whatever becomes of its handshake.
async fn closes(spoil: impl AsyncFnOnce(&Proxy)) -> Result<Duration> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let proxy = Proxy::to(broker.address()).await;
    let policy = Policy { close_timeout: Duration::from_secs(2), ..Policy::default() };
    let config: Config = config(&proxy.uri()).recovery(policy);
    let conn = Conn::new(config).connect().await?;
    let _chan = conn.open_channel().await?;
    proxy.swallow(&[Way::Down]);
    let begun = Instant::now();
    let closing = tokio::spawn(conn.close());
    spoil(&proxy).await;
    let _ = patiently(closing).await?;
    assert_eq!(proxy.accepted(), 1, "nothing is dialled for a goodbye");
    Ok(begun.elapsed())
}

#[tokio::test]
async fn a_goodbye_that_is_reset_is_the_end() -> Result<()> {
    closes(async |proxy| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        proxy.reset();
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_goodbye_that_nobody_answers_ends_at_its_deadline() -> Result<()> {
    let took = closes(async |_| {}).await?;
    assert!(took >= Duration::from_secs(1), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_to_be_declared_again_channels_open_all_the_same() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let proxy = Proxy::to(broker.address()).await;
    let policy = Policy { recover: false, ..Policy::default() };
    let conn = Conn::new(config(&proxy.uri()).recovery(policy)).connect().await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let queue = publisher.declare(Queue::classic("work")).await?;
    let default = Exchange::default_exchange();
    proxy.reset();
    patiently(async {
        while conn.stats().machine.recoveries == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let published = publisher.publish(&default, &queue, b"again").at_least_once();
    patiently(patiently(published).await?).await?;
    Ok(())
}
