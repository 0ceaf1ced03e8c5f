//! Real sockets that are cut in the middle of what matters, behind every byte. With every way to split
//! what arrives besides, and without sockets, that is in `tests/sim/offsets.rs`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hopmq::{
    Config, Conn, ConnectionState, Consumer, Exchange, Queue,
    broker::Broker,
    fsm::supervisor::{Backoff, Policy},
};

use crate::{
    Result, becomes, config, patiently,
    proxy::{Cut, Proxy, Way},
};

const WAYS: [Way; 2] = [Way::Up, Way::Down];

/// Cuts a handshake behind every byte, each way, and says behind how many that was.
async fn handshakes_are_cut(broker: SocketAddr) -> Result<[usize; 2]> {
    let proxy = Proxy::to(broker).await;
    let mut cuts = [0; 2];
    for (way, behind) in WAYS.into_iter().zip(&mut cuts) {
        loop {
            proxy.cut_next([Cut { way, behind: *behind }]);
            match patiently(Conn::new(config(&proxy.uri())).connect()).await {
                Ok(conn) => {
                    // The cut comes later, if at all.
                    patiently(conn.close()).await?;
                    break;
                }
                Err(failed) => {
                    let error = failed.into_parts().0;
                    assert!(error.is_transient(), "{way:?} behind {behind}: {error:?}");
                }
            }
            *behind += 1;
        }
    }
    println!("handshakes cut behind {cuts:?} bytes");
    Ok(cuts)
}

/// Cuts a recovery behind every byte, or every so many, each way: the next one comes to its end, with all
/// that there was.
async fn recoveries_are_cut(broker: SocketAddr, every: usize) -> Result<[usize; 2]> {
    let proxy = Proxy::to(broker).await;
    // The next attempt comes soon, however often it was.
    let policy = Policy {
        backoff: Backoff::fixed(Duration::from_millis(1)),
        breaker: None,
        steady_after: Duration::ZERO,
        ..Policy::default()
    };
    let conn = Conn::new(config(&proxy.uri()).recovery(policy)).connect().await?;
    let chan = conn.open_channel().await?;
    let name = format!("cuts-{}", std::process::id());
    let inbox = chan.declare(Queue::classic(&name)).await?;
    let replies: Queue<hopmq::Classic> = chan.declare(Queue::server_named()).await?;
    let orders = chan.declare(Exchange::topic(&name)).await?;
    chan.bind(&inbox, &orders, "order").await?;
    chan.bind(&replies, &orders, "reply").await?;
    let mut orders_taken = chan.consume(&inbox).await?;
    let mut replies_taken = chan.consume(&replies).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?.publisher().at_least_once();
    let mut cuts = [0; 2];
    for (way, behind) in WAYS.into_iter().zip(&mut cuts) {
        loop {
            let before = proxy.accepted();
            proxy.cut_next([Cut { way, behind: *behind }]);
            proxy.reset();
            patiently(async {
                while proxy.accepted() == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            let body = format!("{way:?} {behind}");
            for key in ["reply", "order"] {
                let message = publisher.publish(&orders, key, body.clone().into_bytes());
                patiently(patiently(message).await?).await?;
            }
            // What went to the other queue may have gone with it.
            takes(&mut orders_taken, &body).await?;
            // Answered behind the acks, which thus have come to the broker.
            patiently(chan.counts(&inbox)).await?;
            becomes(&conn, |state| state == ConnectionState::Connected).await;
            assert!(conn.stats().not_recovered.is_empty(), "{way:?} behind {behind}");
            if proxy.accepted() == before + 1 {
                break;
            }
            *behind += every;
        }
    }
    println!(
        "recoveries cut behind {cuts:?} bytes, every {every}: {} connections",
        proxy.accepted()
    );
    for (consumer, key) in [(&mut orders_taken, "order"), (&mut replies_taken, "reply")] {
        patiently(patiently(publisher.publish(&orders, key, b"last")).await?).await?;
        takes(consumer, "last").await?;
    }
    chan.delete_queue(&inbox).await?;
    chan.delete_exchange(&orders).await?;
    Ok(cuts)
}

/// Takes what there is up to this.
async fn takes(consumer: &mut Consumer, body: &str) -> Result<()> {
    loop {
        let delivery = patiently(consumer.next()).await.expect("a delivery")?;
        let is_it = delivery.body().into_bytes() == body.as_bytes();
        // An earlier one may be stale.
        let _ = delivery.ack();
        if is_it {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_handshake_that_is_cut_behind_any_byte_is_reported_at_once() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let [up, down] = handshakes_are_cut(broker.address()).await?;
    assert!(up > 200 && down > 200, "{up} and {down} bytes");
    Ok(())
}

#[tokio::test]
async fn a_recovery_that_is_cut_again_and_again_comes_to_its_end() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let [up, down] = recoveries_are_cut(broker.address(), 23).await?;
    assert!(up > 400 && down > 300, "{up} and {down} bytes");
    Ok(())
}

mod long {
    use super::*;

    #[tokio::test]
    #[ignore = "long: run tests/run --long"]
    async fn a_handshake_is_cut_behind_every_byte() -> Result<()> {
        let [up, down] = handshakes_are_cut(crate::shared_node()).await?;
        assert!(up > 200 && down > 400, "{up} and {down} bytes");
        Ok(())
    }

    #[tokio::test]
    #[ignore = "long: run tests/run --long"]
    async fn a_recovery_is_cut_behind_every_byte() -> Result<()> {
        let [up, down] = recoveries_are_cut(crate::shared_node(), 1).await?;
        assert!(up > 400 && down > 500, "{up} and {down} bytes");
        Ok(())
    }
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
    let took = begun.elapsed();
    assert_eq!(proxy.accepted(), 1, "nothing is dialled for a goodbye");
    Ok(took)
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
    // Its own, and not the 20 s of a call.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
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
