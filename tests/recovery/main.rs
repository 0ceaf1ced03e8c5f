//! The right program survives the broker: connections that are cut, on the embedded broker.

use std::{collections::BTreeMap, time::Duration};

use hopmq::{
    Chan, Config, Confirming, Conn, Connected, ConnectionState, Error, Exchange, Queue, Topic,
    Unconfirmed, Uri,
    broker::{Broker, Listening},
    fsm::supervisor::{Backoff, Policy},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Every wait of a test ends.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(broker: &Broker<Listening>) -> Config {
    let millis = Duration::from_millis;
    Config::from(broker.uri().parse::<Uri>().expect("the broker's own address")).recovery(Policy {
        backoff: Backoff::exponential(millis(5), millis(50)),
        breaker: None,
        ..Policy::default()
    })
}

async fn connected(broker: &Broker<Listening>) -> Result<Conn<Connected>> {
    Ok(Conn::new(config(broker)).connect().await?)
}

async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("within the test's patience")
}

/// Waits until the connection has been lost and is back.
async fn lost_and_back(conn: &Conn<Connected>, cut: impl FnOnce()) {
    let mut changes = conn.state_changes();
    // What was before does not count.
    while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, changes.next()).await {}
    cut();
    let mut lost = false;
    loop {
        let change = patiently(changes.next()).await.expect("it comes back");
        lost |= change.to == ConnectionState::Reconnecting;
        if lost && change.to == ConnectionState::Connected {
            return;
        }
    }
}

#[tokio::test]
async fn handles_tokens_and_consumers_live_through_a_cut() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let chan = conn.open_channel().await?;
    let orders = chan.declare(Exchange::topic("orders")).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.bind(&inbox, &orders, "#").await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    for round in 0..5 {
        publisher.publish(&orders, "a", vec![round]).await?.await?;
        let delivery = patiently(deliveries.next()).await.expect("a delivery")?;
        assert_eq!(delivery.body().into_bytes(), vec![round]);
        delivery.ack()?;
        // The answer to a call comes after what was sent before it on the channel: the ack is there.
        chan.counts(&inbox).await?;
        lost_and_back(&conn, || broker.faults().cut_connections()).await;
    }
    assert!(conn.stats().not_recovered.is_empty());
    conn.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_named_queue_is_renamed_wherever_it_is_held() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let topic = Exchange::amq_topic();
    chan.bind(&inbox, &topic, "k").await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let old = inbox.name();
    lost_and_back(&conn, || broker.faults().cut_connections()).await;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    publisher.publish(&topic, "k", b"through the binding").mandatory().await?.await?;
    let delivery = patiently(deliveries.next()).await.expect("a delivery")?;
    assert_eq!(delivery.body().into_bytes(), "through the binding");
    delivery.ack()?;
    assert_ne!(inbox.name(), old, "the broker chose another name");
    assert_eq!(chan.counts(&inbox).await?.consumers, 1);
    conn.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_delivery_taken_before_the_cut_is_stale_and_comes_again() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let default = Exchange::default_exchange();
    publisher.publish(&default, &inbox, b"once").await?.await?;
    let early = patiently(deliveries.next()).await.expect("a delivery")?;
    lost_and_back(&conn, || broker.faults().cut_connections()).await;
    assert!(matches!(early.ack(), Err(Error::Stale)));
    let again = patiently(deliveries.next()).await.expect("a delivery")?;
    assert!(again.is_redelivered());
    again.ack()?;
    conn.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_gave_up_can_be_dialled_again() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let address = broker.address();
    let conn = Conn::new(config(&broker).without_recovery()).connect().await?;
    drop(broker);
    let reason = patiently(conn.closed()).await;
    assert!(matches!(reason, Error::Network { .. } | Error::Broker(_)), "{reason:?}");
    assert!(conn.open_channel().await.is_err());
    let conn = conn.into_disconnected().expect("it has ended");
    let _broker = Broker::bind(address).await?;
    let conn = conn.connect().await?;
    conn.close().await?;
    Ok(())
}

/// Publishes with a republish loop around what is unknown, as a careful program does.
async fn publish_all(publisher: &Chan<Confirming>, orders: &Exchange<Topic>, count: u32) {
    for number in 0..count {
        let mut message = hopmq::Message::new(number.to_be_bytes());
        loop {
            let confirm = match publisher.publish(orders, "k", message).await {
                Ok(confirm) => confirm,
                Err(failed) => {
                    message = failed.into_parts().1;
                    continue;
                }
            };
            match confirm.await {
                Ok(()) => break,
                Err(failed) => {
                    let (reason, back) = failed.into_parts();
                    assert!(matches!(reason, Unconfirmed::Unknown(_)), "{reason:?}");
                    message = back;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_while_connections_are_cut() -> Result<()> {
    const MESSAGES: u32 = 5_000;
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let chan = conn.open_channel().await?;
    let orders = chan.declare(Exchange::topic("orders")).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.bind(&inbox, &orders, "#").await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let publisher = connected(&broker).await?;
    let publishing = publisher.open_channel().await?.confirm_select().await?;
    let publishing = tokio::spawn(async move { publish_all(&publishing, &orders, MESSAGES).await });
    let mut seen = BTreeMap::<u32, u32>::new();
    while seen.len() < MESSAGES as usize {
        let delivery = patiently(deliveries.next()).await.expect("the consumer lives")?;
        let body: [u8; 4] = delivery.body().into_bytes()[..].try_into()?;
        *seen.entry(u32::from_be_bytes(body)).or_default() += 1;
        match delivery.ack() {
            Ok(()) | Err(Error::Stale) => {}
            Err(error) => return Err(error.into()),
        }
        if seen.len().is_multiple_of(500) && seen.len() < MESSAGES as usize {
            broker.faults().cut_connections();
        }
    }
    patiently(publishing).await?;
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (0..MESSAGES).collect::<Vec<_>>());
    let cuts = conn.stats().machine;
    println!("{cuts:?}");
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_written_before_a_cut_does_not_reach_the_next_socket() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let inbox = publisher.declare(Queue::classic("inbox")).await?;
    let default = Exchange::default_exchange();
    broker.faults().stop_reading();
    // More than the sockets' buffers hold, so that half a message is stuck in ours.
    let stuck = publisher.publish(&default, &inbox, vec![7; 16 << 20]).await?;
    let half_written = tokio::time::timeout(Duration::from_millis(200), stuck).await;
    assert!(half_written.is_err(), "nobody reads");
    lost_and_back(&conn, || {
        broker.faults().resume_reading();
        broker.faults().cut_connections();
    })
    .await;
    publisher.publish(&default, &inbox, b"after").await?.await?;
    conn.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_at_least_once_is_confirmed_through_every_cut() -> Result<()> {
    const MESSAGES: u32 = 3_000;
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = connected(&broker).await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let mut deliveries = chan.consume(&inbox).await?;
    let publishing = connected(&broker).await?;
    let publisher = publishing.open_channel().await?.confirm_select().await?;
    let queue = inbox.clone();
    broker.faults().withhold_confirms();
    let publishing = tokio::spawn(async move {
        let default = Exchange::default_exchange();
        let mut confirms = Vec::new();
        for number in 0..MESSAGES {
            let message = number.to_be_bytes();
            let publish = publisher.publish(&default, &queue, message).at_least_once();
            confirms.push(publish.await.expect("it waits for the connection"));
        }
        for confirm in confirms {
            confirm.await.expect("confirmed, however often the connection is lost");
        }
        publishing.stats().replayed
    });
    let mut first_seen = Vec::new();
    let mut ids = BTreeMap::new();
    while first_seen.len() < MESSAGES as usize {
        let delivery = patiently(deliveries.next()).await.expect("the consumer lives")?;
        let body: [u8; 4] = delivery.body().into_bytes()[..].try_into()?;
        let number = u32::from_be_bytes(body);
        let id = delivery.properties().message_id().expect("one was made").to_owned();
        match ids.insert(number, id.clone()) {
            None => first_seen.push(number),
            Some(before) => assert_eq!(before, id, "the same message"),
        }
        let _ = delivery.ack();
        if first_seen.len().is_multiple_of(300) && first_seen.len() < MESSAGES as usize {
            broker.faults().cut_connections();
            broker.faults().release_confirms();
        }
    }
    let replayed = patiently(publishing).await?;
    assert!(replayed >= 300, "a window of them at the first cut: {replayed}");
    assert_eq!(ids.len(), MESSAGES as usize);
    Ok(())
}
