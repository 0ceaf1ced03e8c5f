//! The order that the documentation of `hopmq::broker` states, line by line. (Draining is in
//! `stopping`, hooks that block in `events`.)

use std::collections::HashMap;

use bytes::BytesMut;
use hopmq::{
    broker::{Broker, ConnectionId, Event},
    wire::{
        FieldTable, Method, MethodFrame, ReplyCode, encode,
        method::{basic, confirm, queue},
    },
};

use crate::raw::{Raw, short};

#[tokio::test]
async fn frames_are_done_and_answered_in_their_order_across_channels() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.open_channel(2).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    // All of it arrives at once.
    let mut out = BytesMut::new();
    let mut say = |channel, method: &dyn Fn(&mut BytesMut, u16)| method(&mut out, channel);
    fn method(frame: &impl MethodFrame) -> impl Fn(&mut BytesMut, u16) {
        move |out, channel| encode::method(out, channel, frame)
    }
    let publish = |body: &'static [u8]| {
        move |out: &mut BytesMut, channel| {
            let publish = basic::Publish {
                exchange: short(""),
                routing_key: short("q"),
                mandatory: false,
                immediate: false,
            };
            encode::message(out, channel, &publish, &[0, 0], body, 131_072);
        }
    };
    let get = basic::Get { queue: short("q"), no_ack: true };
    let purge = queue::Purge { queue: short("q"), no_wait: false };
    say(1, &publish(b"one"));
    say(2, &publish(b"two"));
    say(1, &method(&get));
    say(2, &method(&get));
    say(2, &method(&get));
    say(1, &publish(b"three"));
    say(2, &method(&purge));
    say(1, &method(&get));
    raw.write(&out).await;

    assert_eq!(raw.content().await.body, b"one");
    assert_eq!(raw.content().await.body, b"two");
    raw.expect(2, basic::GetEmpty {}).await;
    raw.expect(2, queue::PurgeOk { message_count: 1 }).await;
    raw.expect(1, basic::GetEmpty {}).await;
}

#[tokio::test]
async fn a_return_comes_before_its_confirm_and_confirms_come_in_order() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;
    let publish = basic::Publish {
        exchange: short(""),
        routing_key: short("nowhere"),
        mandatory: true,
        immediate: false,
    };
    let mut out = BytesMut::new();
    for number in 0..20_u8 {
        encode::message(&mut out, 1, &publish, &[0, 0], &[number], 131_072);
    }
    raw.write(&out).await;
    let (mut returned, mut confirmed) = (0, 0);
    while confirmed < 20 {
        let frame = raw.method().await;
        match frame.method() {
            Method::BasicReturn(_) => {
                // The header, then the body with the number.
                raw.frame().await;
                assert_eq!(raw.frame().await.payload[..], [returned]);
                returned += 1;
            }
            Method::BasicAck(ack) => {
                assert!(ack.delivery_tag > confirmed, "{ack:?} after {confirmed}");
                confirmed = ack.delivery_tag;
                assert!(u64::from(returned) >= confirmed, "{confirmed} before its return");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(returned, 20);
}

#[tokio::test]
async fn consumers_that_wait_are_woken_in_turn_by_messages_and_by_room() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    let mut consumers = Vec::new();
    for tag in ["a", "b", "c"] {
        let mut consumer = Raw::connect(&broker).await;
        consumer.qos(1, 1).await;
        consumer.consume(1, "q", tag, false).await;
        consumers.push(consumer);
    }
    for number in 0..6_u8 {
        raw.publish(1, "", "q", &[number]).await;
    }
    for (consumer, number) in consumers.iter_mut().zip(0..) {
        assert_eq!(consumer.content().await.body, [number], "by a message, in turn");
    }
    for (next, number) in [(1, 3), (2, 4), (0, 5)] {
        consumers[next].ack(1, 1, false).await;
        assert_eq!(consumers[next].content().await.body, [number], "by room");
    }
}

#[tokio::test]
async fn a_forced_cut_returns_what_was_not_settled_to_its_old_place() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for number in 0..6_u8 {
        raw.publish(1, "", "q", &[number]).await;
    }
    let mut cut = Raw::connect(&broker).await;
    cut.qos(1, 4).await;
    cut.consume(1, "q", "c", false).await;
    for number in 0..4_u8 {
        assert_eq!(cut.content().await.body, [number]);
    }
    cut.ack(1, 2, false).await;
    // It made room for the next one, and has arrived therefore.
    assert_eq!(cut.content().await.body, [4]);
    let newest = broker.connections().into_iter().map(|connection| connection.id).max().unwrap();
    broker.faults().close_connection(newest, ReplyCode::CONNECTION_FORCED, "by force");
    for expected in [0, 2, 3, 4, 5] {
        let message = raw.get(1, "q", true).await.unwrap();
        // The one that was acknowledged did not come back, and those that did are said to.
        assert_eq!(
            (message.body.as_slice(), message.redelivered()),
            (&[expected][..], expected < 5)
        );
    }
}

#[tokio::test]
async fn events_of_many_connections_come_in_the_order_in_which_things_happened() {
    const CONNECTIONS: usize = 8;
    const MESSAGES: usize = 25;
    let broker = Broker::builder().event_buffer(10_000).build();
    let mut events = broker.events();
    let broker = broker.listen("127.0.0.1:0").await.unwrap();
    let mut talking = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut raw = Raw::connect(&broker).await;
        talking.spawn(async move {
            let name = format!("q{number}");
            raw.declare(1, &name, &FieldTable::new()).await;
            raw.consume(1, &name, "c", true).await;
            for _ in 0..MESSAGES {
                raw.publish(1, "", &name, b"x").await;
            }
            for _ in 0..MESSAGES {
                raw.content().await;
            }
        });
    }
    while let Some(talked) = talking.join_next().await {
        talked.unwrap();
    }
    while broker.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
    drop(broker);

    let mut lives: HashMap<ConnectionId, (bool, usize, usize)> = HashMap::new();
    let mut ended = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::Accepted { connection, .. } => {
                assert!(lives.insert(connection, (true, 0, 0)).is_none(), "first, and once");
            }
            Event::Arrived { connection, .. } => {
                let (open, arrived, _) = lives.get_mut(&connection).unwrap();
                assert!(*open);
                *arrived += 1;
            }
            Event::Sent { connection, .. } => {
                let (open, arrived, sent) = lives.get_mut(&connection).unwrap();
                *sent += 1;
                assert!(*open && sent <= arrived, "{sent} sent, {arrived} arrived");
            }
            Event::Authenticated { connection, .. }
            | Event::Opened { connection, .. }
            | Event::ChannelOpened { connection, .. }
            | Event::ChannelClosed { connection, .. } => assert!(lives[&connection].0),
            Event::Disconnected { connection, .. } => {
                let (open, arrived, sent) = lives.get_mut(&connection).unwrap();
                assert!(std::mem::replace(open, false), "last, and once");
                assert_eq!((*arrived, *sent), (MESSAGES, MESSAGES));
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, CONNECTIONS);
}
