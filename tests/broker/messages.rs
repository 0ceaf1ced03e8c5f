//! From a publish to a settled delivery.

use hopmq::{
    broker::{Broker, Listening},
    wire::{
        FieldTable, Method, RawTable,
        method::{basic, confirm, exchange, queue},
    },
};

use crate::raw::{Raw, short};

async fn broker() -> Broker<Listening> {
    Broker::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn a_topic_message_is_routed_confirmed_and_delivered() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    let declare = exchange::Declare {
        exchange: short("orders"),
        kind: short("topic"),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.call(1, &declare, exchange::DeclareOk {}).await;
    raw.declare(1, "inbox", &FieldTable::new()).await;
    let bind = queue::Bind {
        queue: short("inbox"),
        exchange: short("orders"),
        routing_key: short("order.*.created"),
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.call(1, &bind, queue::BindOk {}).await;
    raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;

    raw.publish(1, "orders", "order.eu.created", b"one").await;
    raw.expect(1, basic::Ack { delivery_tag: 1, multiple: false }).await;

    // Returned before it is confirmed.
    raw.publish_with(1, "orders", "order.eu.deleted", true, &[0, 0], b"two").await;
    let returned = raw.content().await;
    assert!(matches!(returned.method(), Method::BasicReturn(back) if back.reply_code == 312));
    assert_eq!(returned.body, b"two");
    raw.expect(1, basic::Ack { delivery_tag: 2, multiple: false }).await;

    raw.consume(1, "inbox", "me", false).await;
    let delivery = raw.content().await;
    let expected = basic::Deliver {
        consumer_tag: short("me"),
        delivery_tag: 1,
        redelivered: false,
        exchange: short("orders"),
        routing_key: short("order.eu.created"),
    };
    assert_eq!(delivery.method(), expected.into());
    assert_eq!(delivery.body, b"one");
    raw.ack(1, 1, false).await;
    raw.silence().await;
}

#[tokio::test]
async fn prefetch_holds_back_and_acks_release() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for body in 0..6u8 {
        raw.publish(1, "", "q", &[body]).await;
    }
    raw.qos(1, 2).await;
    raw.consume(1, "q", "me", false).await;
    assert_eq!(raw.content().await.body, [0]);
    assert_eq!(raw.content().await.body, [1]);
    raw.silence().await;
    raw.ack(1, 2, true).await;
    assert_eq!(raw.content().await.body, [2]);
    assert_eq!(raw.content().await.body, [3]);
    // A returned message comes again, before those behind it.
    raw.nack(1, 3, true).await;
    let again = raw.content().await;
    assert_eq!((again.body.as_slice(), again.redelivered()), (&[2][..], true));
    raw.silence().await;
}

#[tokio::test]
async fn unsettled_messages_return_when_a_connection_ends() {
    let broker = broker().await;
    let mut first = Raw::connect(&broker).await;
    let mut second = Raw::connect(&broker).await;
    first.declare(1, "q", &FieldTable::new()).await;
    first.consume(1, "q", "first", false).await;
    second.publish(1, "", "q", b"x").await;
    assert!(!first.content().await.redelivered());
    second.consume(1, "q", "second", false).await;
    drop(first);
    assert!(second.content().await.redelivered());
}

#[tokio::test]
async fn consumers_are_served_in_turn() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for tag in ["a", "b", "c"] {
        raw.consume(1, "q", tag, true).await;
    }
    let mut served = Vec::new();
    for _ in 0..6 {
        raw.publish(1, "", "q", b"").await;
        match raw.content().await.method() {
            Method::BasicDeliver(deliver) => served.push(deliver.consumer_tag.to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(served, ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn polling_settles_and_counts() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    assert!(raw.get(1, "q", true).await.is_none());
    raw.publish(1, "", "q", b"1").await;
    raw.publish(1, "", "q", b"2").await;
    let first = raw.get(1, "q", false).await.unwrap();
    assert!(matches!(first.method(), Method::BasicGetOk(get_ok) if get_ok.message_count == 1));
    raw.nack(1, first.tag(), true).await;
    let again = raw.get(1, "q", true).await.unwrap();
    assert_eq!((again.body.as_slice(), again.redelivered()), (&b"1"[..], true));
    assert_eq!(raw.get(1, "q", true).await.unwrap().body, b"2");
    assert!(raw.get(1, "q", true).await.is_none());
}

#[tokio::test]
async fn large_bodies_arrive_as_they_were_sent() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for size in [0, 1, 16_383, 16_384, 131_064, 131_065, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        raw.publish(1, "", "q", &body).await;
        let back = raw.get(1, "q", true).await.unwrap();
        assert!(back.body == body, "a body of {size} octets changed");
    }
}

#[tokio::test]
async fn many_publishes_are_confirmed_by_few_frames() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker).await;
    raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;
    let mut out = bytes::BytesMut::new();
    let publish = basic::Publish {
        exchange: short(""),
        routing_key: short("nowhere"),
        mandatory: false,
        immediate: false,
    };
    for _ in 0..1_000 {
        hopmq::wire::encode::message(&mut out, 1, &publish, &[0, 0], b"x", 131_072);
    }
    raw.write(&out).await;
    let (mut last, mut frames) = (0, 0);
    while last < 1_000 {
        let frame = raw.method().await;
        match frame.method() {
            Method::BasicAck(ack) => {
                assert!(ack.delivery_tag > last && (ack.multiple || ack.delivery_tag == last + 1));
                last = ack.delivery_tag;
                frames += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(frames < 100, "{frames} frames for 1000 confirms");
}
