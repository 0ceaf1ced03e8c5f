//! Faults on demand, and what can be seen of a broker from outside.

use std::time::{Duration, Instant};

use hopmq::{
    broker::{Broker, Listening},
    wire::{
        FieldTable, RawTable, ReplyCode,
        method::{basic, confirm, connection, queue},
    },
};

use crate::raw::{Raw, arguments, short};

async fn confirming() -> (Broker<Listening>, Raw) {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;
    (broker, raw)
}

#[tokio::test]
async fn confirms_can_be_withheld_and_released() {
    let (broker, mut raw) = confirming().await;
    broker.faults().withhold_confirms();
    for body in [b"1", b"2", b"3"] {
        raw.publish(1, "", "q", body).await;
    }
    raw.silence().await;
    assert_eq!(broker.queue_depth("/", "q"), Some(3));
    broker.faults().release_confirms();
    raw.expect(1, basic::Ack { delivery_tag: 3, multiple: true }).await;
    raw.publish(1, "", "q", b"4").await;
    raw.expect(1, basic::Ack { delivery_tag: 4, multiple: false }).await;
}

#[tokio::test]
async fn publishes_can_be_nacked() {
    let (broker, mut raw) = confirming().await;
    broker.faults().nack_publishes(1);
    raw.publish(1, "", "q", b"1").await;
    raw.expect(1, basic::Nack { delivery_tag: 1, multiple: true, requeue: true }).await;
    raw.publish(1, "", "q", b"2").await;
    raw.expect(1, basic::Ack { delivery_tag: 2, multiple: false }).await;
    assert_eq!(broker.queue_depth("/", "q"), Some(1));
}

#[tokio::test]
async fn publishers_are_blocked_and_others_are_not() {
    let (broker, mut publisher) = confirming().await;
    publisher.publish(1, "", "q", b"1").await;
    publisher.expect(1, basic::Ack { delivery_tag: 1, multiple: false }).await;
    let mut consumer = Raw::connect(&broker).await;
    broker.faults().block();
    publisher.expect(0, connection::Blocked { reason: short("low on memory") }).await;
    publisher.publish(1, "", "q", b"2").await;
    publisher.silence().await;
    consumer.consume(1, "q", "c", true).await;
    assert_eq!(consumer.content().await.body, b"1");
    consumer.silence().await;
    broker.faults().unblock();
    publisher.expect(0, connection::Unblocked {}).await;
    publisher.expect(1, basic::Ack { delivery_tag: 2, multiple: false }).await;
    assert_eq!(consumer.content().await.body, b"2");
}

#[tokio::test]
async fn a_memory_limit_blocks_until_messages_are_consumed() {
    let broker = Broker::builder().memory_limit(10_000).bind("127.0.0.1:0").await.unwrap();
    let mut publisher = Raw::connect(&broker).await;
    publisher.declare(1, "q", &FieldTable::new()).await;
    publisher.publish(1, "", "q", &[0; 20_000]).await;
    publisher.expect(0, connection::Blocked { reason: short("low on memory") }).await;
    assert!(broker.stored() >= 20_000);
    let mut consumer = Raw::connect(&broker).await;
    consumer.get(1, "q", true).await.unwrap();
    publisher.expect(0, connection::Unblocked {}).await;
    assert_eq!(broker.stored(), 0);
}

#[tokio::test]
async fn an_alarm_ends_when_messages_expire() {
    let broker = Broker::builder().memory_limit(10_000).bind("127.0.0.1:0").await.unwrap();
    let mut publisher = Raw::connect(&broker).await;
    let arguments = FieldTable::new().with("x-message-ttl", 100i32).unwrap();
    publisher.declare(1, "q", &arguments).await;
    publisher.publish(1, "", "q", &[0; 20_000]).await;
    publisher.expect(0, connection::Blocked { reason: short("low on memory") }).await;
    publisher.expect(0, connection::Unblocked {}).await;
}

#[tokio::test]
async fn reading_can_stop() {
    let (broker, mut raw) = confirming().await;
    broker.faults().stop_reading();
    raw.publish(1, "", "q", b"1").await;
    raw.silence().await;
    broker.faults().resume_reading();
    raw.expect(1, basic::Ack { delivery_tag: 1, multiple: false }).await;
}

#[tokio::test]
async fn connections_can_be_cut_closed_and_refused() {
    let (broker, mut raw) = confirming().await;
    let mut other = Raw::connect(&broker).await;
    let [first, second] = &broker.connections()[..] else { panic!("two connections") };
    assert_eq!(
        (first.user.as_str(), first.vhost.as_str(), &first.channels[..]),
        ("guest", "/", &[1][..])
    );
    broker.faults().cut(first.id);
    raw.ends().await;
    broker.faults().close_connection(second.id, ReplyCode::CONNECTION_FORCED, "maintenance");
    other.connection_closes(320, "CONNECTION_FORCED - maintenance").await;

    let mut waits = Raw::dial(&broker).await;
    broker.faults().refuse_connections();
    Raw::dial(&broker).await.ends().await;
    broker.faults().accept_connections();
    let mut open = Raw::connect(&broker).await;
    broker.faults().cut_connections();
    waits.ends().await;
    open.ends().await;
    Raw::connect(&broker).await;
}

#[tokio::test]
async fn a_channel_can_be_closed() {
    let (broker, mut raw) = confirming().await;
    let id = broker.connections()[0].id;
    assert!(broker.faults().close_channel(id, 1, ReplyCode::PRECONDITION_FAILED, "overdue"));
    raw.channel_closes(1, 406, "PRECONDITION_FAILED - overdue").await;
    assert!(!broker.faults().close_channel(id, 7, ReplyCode::PRECONDITION_FAILED, "unknown"));
    raw.open_channel(1).await;
}

#[tokio::test]
async fn consumers_are_told_of_their_end() {
    let (broker, mut raw) = confirming().await;
    raw.consume(1, "q", "c", false).await;
    assert_eq!(broker.faults().cancel_consumers("/", "q"), 1);
    raw.expect(1, basic::Cancel { consumer_tag: short("c"), no_wait: true }).await;
    assert!(broker.consumers("/", "q").is_empty());
    raw.consume(1, "q", "c", false).await;
    assert!(broker.faults().delete_queue("/", "q"));
    raw.expect(1, basic::Cancel { consumer_tag: short("c"), no_wait: true }).await;
    assert_eq!(broker.queue("/", "q"), None);
}

#[tokio::test]
async fn what_a_broker_holds_can_be_seen() {
    let (broker, mut raw) = confirming().await;
    let bind = queue::Bind {
        queue: short("q"),
        exchange: short("amq.topic"),
        routing_key: short("a.#"),
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.call(1, &bind, queue::BindOk {}).await;
    let bindings = broker.bindings("/");
    assert_eq!(bindings.len(), 1);
    let binding = &bindings[0];
    let found = (&binding.source[..], &binding.destination[..], &binding.routing_key[..]);
    assert_eq!(found, ("amq.topic", "q", "a.#"));
    assert!(broker.exchanges("/").iter().any(|exchange| exchange.name == "amq.topic"));

    for tag in 1..=3 {
        raw.publish(1, "", "q", b"x").await;
        raw.expect(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    }
    raw.qos(1, 2).await;
    raw.consume(1, "q", "c", false).await;
    raw.content().await;
    raw.content().await;
    let queue = broker.queue("/", "q").unwrap();
    assert_eq!((queue.ready, queue.unacked, queue.kind, queue.durable), (1, 2, "classic", true));
    let consumer = &queue.consumers[0];
    assert_eq!(
        (&consumer.tag[..], consumer.prefetch, consumer.unacked, consumer.active),
        ("c", 2, 2, true)
    );
    assert_eq!(broker.unacked("/", "q"), Some(2));
    assert_eq!(broker.queue_depth("/", "none"), None);
    assert!(broker.queues("elsewhere").is_empty());
}

#[tokio::test]
async fn heartbeats_go_both_ways() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::dial(&broker).await.tuned(1).await;
    // Half of the interval passes in silence, then the broker shows that it lives.
    let frame = raw.frame().await;
    assert_eq!(frame.kind, hopmq::wire::FrameKind::Heartbeat);
    // Who shows no life for two intervals is dropped.
    let before = std::time::Instant::now();
    while raw.frame_within(Duration::from_secs(5)).await.is_ok_and(|frame| frame.is_some()) {}
    let waited = before.elapsed().as_secs_f32();
    assert!((1.0..3.0).contains(&waited), "dropped after {waited} s");
}

#[tokio::test]
async fn an_overdue_acknowledgement_closes_the_channel_and_the_delivery_goes_back() {
    let timeout = Duration::from_millis(200);
    let broker =
        Broker::builder().acknowledgement_timeout(timeout).bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    raw.publish(1, "", "q", b"slow").await;
    assert!(raw.get(1, "q", false).await.is_some());
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value \
                used: 200 ms. This timeout value can be configured, see consumers doc guide to \
                learn more";
    raw.channel_closes(1, 406, text).await;
    raw.open_channel(1).await;
    assert!(raw.get(1, "q", true).await.unwrap().redelivered());
}

#[tokio::test]
async fn an_overdue_consumer_of_a_quorum_queue_is_cancelled_and_its_delivery_returns_uncounted() {
    let timeout = Duration::from_millis(200);
    let broker =
        Broker::builder().acknowledgement_timeout(timeout).bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    let arguments = arguments([("x-queue-type", "quorum"), ("x-dead-letter-exchange", "")]);
    raw.declare(1, "q", &arguments).await;
    raw.publish(1, "", "q", b"slow").await;
    raw.consume(1, "q", "c", false).await;
    assert_eq!(raw.content().await.tag(), 1);
    raw.expect(1, basic::Cancel { consumer_tag: short("c"), no_wait: true }).await;
    let again = raw.get(1, "q", true).await.unwrap();
    assert!(again.redelivered());
    // Settling it late says nothing, and the channel goes on.
    raw.ack(1, 1, false).await;
    assert!(raw.get(1, "q", true).await.is_none());
}

#[tokio::test]
async fn confirms_can_come_in_the_wrong_order() {
    let (broker, mut raw) = confirming().await;
    let faults = broker.faults();
    faults.reverse_confirms(true);
    faults.withhold_confirms();
    for _ in 0..3 {
        raw.publish(1, "", "q", b"m").await;
    }
    while broker.counts().arrived < 3 {
        tokio::task::yield_now().await;
    }
    faults.release_confirms();
    for tag in [3, 2, 1] {
        raw.expect(1, basic::Ack { delivery_tag: tag, multiple: false }).await;
    }
}

#[tokio::test]
async fn confirms_can_be_late() {
    let (broker, mut raw) = confirming().await;
    let delay = Duration::from_millis(300);
    broker.faults().delay_confirms(delay);
    let published = Instant::now();
    raw.publish(1, "", "q", b"m").await;
    raw.expect(1, basic::Ack { delivery_tag: 1, multiple: false }).await;
    assert!(published.elapsed() >= delay);
    assert_eq!(broker.queue_depth("/", "q"), Some(1), "the message itself is not late");

    broker.faults().delay_confirms(Duration::ZERO);
    raw.publish(1, "", "q", b"m").await;
    raw.expect(1, basic::Ack { delivery_tag: 2, multiple: false }).await;
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_a_method_or_at_a_frame() {
    for (before, stored) in [(true, 0), (false, 1)] {
        let (broker, mut raw) = confirming().await;
        let id = <basic::Publish<'_> as hopmq::wire::MethodFrame>::ID;
        match before {
            true => broker.faults().cut_before(id),
            false => broker.faults().cut_after(id),
        }
        raw.publish(1, "", "q", b"m").await;
        raw.ends().await;
        assert_eq!(broker.queue_depth("/", "q"), Some(stored));
        let mut again = Raw::connect(&broker).await;
        again.publish(1, "", "q", b"m").await;
        assert!(again.get(1, "q", true).await.is_some());
    }
    let (broker, mut raw) = confirming().await;
    broker.faults().cut_at_frame(3);
    // Method and header of the first message; the body is the third frame.
    raw.publish(1, "", "q", b"m").await;
    raw.ends().await;
    assert_eq!(broker.queue_depth("/", "q"), Some(0));
}
