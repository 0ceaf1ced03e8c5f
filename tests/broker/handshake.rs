//! From the socket to an open connection, and what does not get there.

use bytes::BytesMut;
use hopmq::{
    broker::Broker,
    wire::{
        Method, PROTOCOL_HEADER, encode,
        method::{channel, connection},
    },
};

use crate::raw::{Raw, short};

#[tokio::test]
async fn a_connection_opens_and_closes() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    let close =
        connection::Close { reply_code: 200, reply_text: short("bye"), class_id: 0, method_id: 0 };
    raw.call(0, &close, connection::CloseOk {}).await;
    raw.ends().await;
}

#[tokio::test]
async fn another_protocol_is_told_ours() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    for greeting in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"AMQP\x03\x01\x00\x00", b"\x16\x03\x01\x02\x00\x01\x00"]
    {
        let mut raw = Raw::dial(&broker).await;
        raw.write(greeting).await;
        assert_eq!(raw.octets(8).await, PROTOCOL_HEADER, "{greeting:?}");
        raw.ends().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::dial(&broker).await;
    raw.write(&PROTOCOL_HEADER).await;
    raw.start_ok(b"\0guest\0wrong").await;
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details \
                see the broker logfile.";
    raw.connection_closes(403, text).await;
}

#[tokio::test]
async fn a_missing_virtual_host_is_refused() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::dial(&broker).await;
    raw.write(&PROTOCOL_HEADER).await;
    raw.start_ok(b"\0guest\0guest").await;
    assert!(matches!(raw.method().await.method(), Method::ConnectionTune(_)));
    let tune = connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 };
    raw.send(0, &tune).await;
    raw.send(0, &connection::Open { virtual_host: short("shop") }).await;
    raw.connection_closes(530, "NOT_ALLOWED - vhost shop not found").await;
}

#[tokio::test]
async fn who_opens_a_channel_without_waiting_is_answered_in_order() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::dial(&broker).await;
    raw.write(&PROTOCOL_HEADER).await;
    raw.start_ok(b"\0guest\0guest").await;
    assert!(matches!(raw.method().await.method(), Method::ConnectionTune(_)));
    let mut at_once = BytesMut::new();
    let tune = connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 };
    encode::method(&mut at_once, 0, &tune);
    encode::method(&mut at_once, 0, &connection::Open { virtual_host: short("/") });
    encode::method(&mut at_once, 1, &channel::Open {});
    raw.write(&at_once).await;
    raw.expect(0, connection::OpenOk {}).await;
    raw.expect(1, channel::OpenOk {}).await;
}

#[tokio::test]
async fn dropping_the_broker_frees_the_port_and_ends_connections() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let address = broker.address();
    let mut raw = Raw::connect(&broker).await;
    drop(broker);
    raw.ends().await;
    let again = Broker::bind(address).await.unwrap();
    Raw::connect(&again).await;
}

#[tokio::test]
async fn who_stays_silent_is_dropped() {
    let patience = std::time::Duration::from_millis(100);
    let broker = Broker::builder().handshake_timeout(patience).bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::dial(&broker).await;
    raw.ends().await;
    // Who has opened a virtual host is not.
    let mut raw = Raw::connect(&broker).await;
    tokio::time::sleep(patience * 2).await;
    raw.open_channel(2).await;
}
