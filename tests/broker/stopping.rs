//! Several ports, and the orderly end.

use std::time::Duration;

use hopmq::{broker::Broker, wire::FieldTable};

use crate::raw::Raw;

const SHUTDOWN: &str =
    "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";

#[tokio::test]
async fn one_broker_listens_on_several_ports() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let second = broker.also_listen("127.0.0.1:0").await.unwrap();
    assert_eq!(broker.addresses().len(), 2);
    let mut one = Raw::connect(&broker).await;
    let mut other = Raw::dial_address(second).await.log_in().await;
    other.open_channel(1).await;
    one.declare(1, "q", &FieldTable::new()).await;
    one.publish(1, "", "q", b"across").await;
    assert_eq!(other.get(1, "q", true).await.unwrap().body, b"across");
    drop(broker);
    one.ends().await;
    other.ends().await;
    for address in [second] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address} is still open");
    }
}

#[tokio::test]
async fn draining_sends_what_is_due_and_then_closes() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let address = broker.address();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for _ in 0..10 {
        raw.publish(1, "", "q", &[7; 20_000]).await;
    }
    raw.consume(1, "q", "c", true).await;
    let draining = broker.drain();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is still open");
    for _ in 0..10 {
        assert_eq!(raw.content().await.body.len(), 20_000);
    }
    assert_eq!(draining.connection_count(), 1);
    let stopped = tokio::spawn(draining.stopped(Duration::from_secs(5)));
    raw.connection_closes(320, SHUTDOWN).await;
    assert_eq!(stopped.await.unwrap().cut(), 0);
}

#[tokio::test]
async fn who_does_not_answer_is_cut() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    assert_eq!(broker.drain().stopped(Duration::from_millis(100)).await.cut(), 1);
    raw.method().await;
    raw.ends().await;
}
