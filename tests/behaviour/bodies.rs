//! Messages arrive as they were sent: bodies of every size, every property, every header.

use std::time::{Duration, UNIX_EPOCH};

use hopmq::{
    Message, Queue,
    proto::Body,
    wire::{FieldTable, Value},
};

use crate::place::{Outcome, Place, default_exchange, take};

on_both_brokers!(
    bodies_of_every_size_arrive,
    a_body_in_segments_arrives_as_one,
    large_bodies_arrive,
    an_empty_body_arrives,
    every_property_arrives,
    every_header_value_arrives,
    a_message_without_properties_arrives_without,
);

/// Bytes that show a piece that is missing, doubled or out of place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Sends it through a queue.
async fn pass(at: &Place, message: impl Into<Message>) -> Outcome<hopmq::Received> {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    chan.publish(&default_exchange(), &queue, message).mandatory().await?.await?;
    let (received, receipt) = chan.get(&queue).await?.ok_or("it is there")?.into_parts();
    receipt.ack()?;
    Ok(received)
}

async fn bodies_of_every_size_arrive(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut consumer = chan.consume(&queue).await?;
    let frame = 131_072;
    let sizes = [1, 2, 255, 256, 4_087, 4_088, 4_096, 16_384, 65_535, 65_536, 65_537];
    let edges = [frame - 9, frame - 8, frame - 7, frame, 2 * (frame - 8), 2 * (frame - 8) + 1];
    for size in sizes.into_iter().chain(edges) {
        let body = pattern(size);
        chan.publish(&default_exchange(), &queue, body.clone()).await?.await?;
        let delivery = take(&mut consumer).await?;
        assert_eq!(delivery.body_len(), size);
        assert!(delivery.body().into_bytes() == body, "{size} bytes");
        delivery.ack()?;
    }
    Ok(())
}

async fn a_body_in_segments_arrives_as_one(at: Place) -> Outcome {
    let whole = pattern(300_000);
    let segments = [0..10, 10..10, 10..70_000, 70_000..300_000];
    let segments = segments.map(|range| whole[range].to_vec().into());
    let received = pass(&at, Body::from_segments(segments.to_vec())).await?;
    assert!(received.into_body().into_bytes() == whole);
    Ok(())
}

async fn large_bodies_arrive(at: Place) -> Outcome {
    for size in [1024 * 1024, 10 * 1024 * 1024] {
        let body = pattern(size);
        let received = pass(&at, body.clone()).await?;
        assert!(received.into_body().into_bytes() == body, "{size} bytes");
    }
    Ok(())
}

async fn an_empty_body_arrives(at: Place) -> Outcome {
    let received = pass(&at, Message::default()).await?;
    assert_eq!(received.body_len(), 0);
    assert!(received.body().is_empty());
    assert_eq!(received.contiguous_body(), Some(&[][..]));
    Ok(())
}

async fn every_property_arrives(at: Place) -> Outcome {
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let message = Message::text("all")
        .persistent()
        .content_type("application/json")
        .content_encoding("gzip")
        .priority(7)
        .correlation_id("correlation")
        .reply_to(hopmq::ReplyName::new("replies").unwrap())
        .expiration(Duration::from_secs(3_600))
        .message_id("id")
        .timestamp(time)
        .kind("order")
        .app_id("shop")
        .header("attempt", 1);
    let received = pass(&at, message.clone()).await?;
    let properties = received.properties();
    assert!(properties.is_persistent());
    assert_eq!(properties.content_type(), Some("application/json"));
    assert_eq!(properties.content_encoding(), Some("gzip"));
    assert_eq!(properties.priority(), Some(7));
    assert_eq!(properties.correlation_id(), Some("correlation"));
    assert_eq!(properties.reply_to(), Some("replies"));
    assert_eq!(properties.expiration(), Some(Duration::from_secs(3_600)));
    assert_eq!(properties.message_id(), Some("id"));
    assert_eq!(properties.timestamp(), Some(time));
    assert_eq!(properties.kind(), Some("order"));
    assert_eq!(properties.app_id(), Some("shop"));
    assert_eq!(properties.user_id(), None);
    assert_eq!(properties.header("attempt"), Some(Value::I32(1)));
    assert_eq!(properties.headers()?.len(), 1, "the library's own header is not seen");
    Ok(())
}

async fn every_header_value_arrives(at: Place) -> Outcome {
    let mut inner = FieldTable::new();
    inner.insert("deep", "er")?;
    let values = [
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(i8::MIN)),
        ("u8", Value::U8(u8::MAX)),
        ("i16", Value::I16(i16::MIN)),
        ("u16", Value::U16(u16::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("u32", Value::U32(u32::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(-2.25)),
        ("decimal", Value::Decimal { scale: 2, value: 12_345 }),
        ("text", Value::from("grüße")),
        ("long", Value::from("x".repeat(1_000))),
        ("array", Value::Array(vec![Value::I32(1), Value::from("two"), Value::Void])),
        ("timestamp", Value::Timestamp(1_700_000_000)),
        ("table", Value::Table(inner)),
        ("void", Value::Void),
        ("bytes", Value::ByteArray(vec![0, 255, 1].into())),
    ];
    let mut message = Message::text("headers");
    for (name, value) in &values {
        message = message.header(name, value.clone());
    }
    let received = pass(&at, message).await?;
    for (name, value) in values {
        assert_eq!(received.properties().header(name), Some(value), "{name}");
    }
    Ok(())
}

async fn a_message_without_properties_arrives_without(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    chan.publish_unconfirmed(&default_exchange(), &queue, Message::text("bare").transient())
        .await?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    let properties = delivery.properties();
    assert!(!properties.is_persistent());
    assert_eq!((properties.content_type(), properties.headers()?.len()), (None, 0));
    delivery.ack()?;
    Ok(())
}
