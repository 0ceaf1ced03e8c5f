//! What AMQP or the configuration cannot carry is refused before anything is sent.

use std::time::{Duration, SystemTime};

use hopmq::{
    Conn, ConsumeError, Error, Exchange, Message, Open, Queue, UsageError,
    wire::{FieldTable, Value},
};

use crate::place::{Outcome, Place, default_exchange, take};

on_both_brokers!(
    names_and_keys_over_255_bytes_are_refused,
    names_that_no_entity_can_have_are_refused,
    properties_that_cannot_be_carried_are_refused,
    a_body_over_the_limit_is_refused,
    a_body_over_the_limit_is_not_taken,
    headers_over_a_frame_are_refused,
    headers_over_the_limit_are_refused,
    headers_over_the_limit_are_not_taken,
    what_is_over_a_limit_is_not_got,
    how_much_of_the_headers_is_decoded_can_be_set,
    the_longest_that_fits_arrives,
    headers_nested_too_deep_are_delivered_raw,
);

async fn names_and_keys_over_255_bytes_are_refused(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let long = "x".repeat(300);
    let queue = chan.declare(Queue::server_named()).await?;
    let topic = Exchange::amq_topic();
    let errors = [
        chan.declare(Queue::classic(&long)).await.map(drop).unwrap_err(),
        chan.declare(Queue::quorum(&long).passive()).await.map(drop).unwrap_err(),
        chan.declare(Exchange::topic(&long)).await.map(drop).unwrap_err(),
        chan.bind(&queue, &topic, &long).await.unwrap_err(),
        chan.unbind(&queue, &topic, &long).await.unwrap_err(),
        chan.publish(&topic, &long, b"x").await.map(drop).unwrap_err().into(),
        chan.publish(&default_exchange(), &long, b"x").await.map(drop).unwrap_err().into(),
    ];
    for error in errors {
        let Error::Usage(UsageError::NameTooLong { len, .. }) = error else { panic!("{error:?}") };
        assert_eq!(len, 300);
    }
    // Nothing was sent: the channel is as it was, and tags go on without a gap.
    chan.publish(&default_exchange(), &queue, b"x").mandatory().await?.await?;
    assert_eq!(chan.counts(&queue).await?.messages, 1);
    Ok(())
}

async fn names_that_no_entity_can_have_are_refused(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let empty = chan.declare(Queue::classic("")).await.unwrap_err();
    assert!(matches!(empty, Error::Usage(UsageError::EmptyName { .. })), "{empty:?}");
    for name in ["amq.mine", "amq.gen-1"] {
        let error = chan.declare(Queue::classic(name)).await.unwrap_err();
        assert!(matches!(error, Error::Usage(UsageError::ReservedName { .. })), "{error:?}");
    }
    chan.declare(Queue::server_named()).await?;
    Ok(())
}

async fn properties_that_cannot_be_carried_are_refused(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let long = "x".repeat(256);
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let messages = [
        Message::new(b"x").content_type(&long),
        Message::new(b"x").message_id(&long),
        Message::new(b"x").correlation_id(&long),
        Message::new(b"x").header(&long, 1),
        Message::new(b"x").timestamp(before),
        Message::new(b"x").expiration(Duration::MAX),
    ];
    for message in messages {
        let failed = chan.publish(&default_exchange(), &queue, message.clone()).await.unwrap_err();
        let (error, returned) = failed.into_parts();
        assert!(matches!(error, Error::Usage(_)), "{error:?}");
        assert_eq!(returned, message, "the message comes back");
    }
    chan.publish(&default_exchange(), &queue, b"x").mandatory().await?.await?;
    Ok(())
}

async fn a_body_over_the_limit_is_refused(at: Place) -> Outcome {
    let mut limits = at.config().limits;
    limits.body_size = 1_000_000;
    let conn = Conn::new(at.config().limits(limits)).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let failed =
        chan.publish(&default_exchange(), &queue, vec![0; 1_000_001]).await.map(drop).unwrap_err();
    let (error, message) = failed.into_parts();
    let expected = UsageError::BodyTooLarge { size: 1_000_001, max: 1_000_000 };
    assert!(matches!(&error, Error::Usage(usage) if *usage == expected), "{error:?}");
    assert_eq!(message.body().len(), 1_000_001);
    chan.publish(&default_exchange(), &queue, vec![0; 1_000_000]).mandatory().await?.await?;
    Ok(())
}

/// Somebody else may send what we would not: it is discarded while it streams, and rejected.
async fn a_body_over_the_limit_is_not_taken(at: Place) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    let mut limits = at.config().limits;
    limits.body_size = 1_000_000;
    let conn = Conn::new(at.config().limits(limits)).connect().await?;
    let chan = conn.open_channel().await?;
    let mut consumer = chan.consume(&queue).await?;
    let default = default_exchange();
    publisher.publish(&default, &queue, vec![0; 2_000_000]).await?.await?;
    publisher.publish(&default, &queue, b"fits").await?.await?;
    let error = consumer.next().await.ok_or("the next is told")?.unwrap_err();
    let ConsumeError::TooLarge { size, .. } = error else { panic!("{error:?}") };
    assert_eq!(size, 2_000_000);
    let delivery = take(&mut consumer).await?;
    assert_eq!(delivery.body_len(), 4);
    delivery.ack()?;
    chan.close().await?;
    assert_eq!(publisher.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn headers_over_a_frame_are_refused(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let message = Message::new(b"x").header("large", "x".repeat(200 * 1024));
    let failed = chan.publish(&default_exchange(), &queue, message).await.map(drop).unwrap_err();
    let usage = matches!(failed.error(), Error::Usage(UsageError::TooLargeForFrame { .. }));
    assert!(usage, "{failed:?}");
    chan.publish(&default_exchange(), &queue, b"x").mandatory().await?.await?;
    Ok(())
}

async fn headers_over_the_limit_are_refused(at: Place) -> Outcome {
    let chan = limited(&at, |limits| limits.header_size = 1_000).await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let message = |len| Message::new(b"x").header("large", "x".repeat(len));
    let failed = chan.publish(&default_exchange(), &queue, message(1_000)).await.unwrap_err();
    let (error, _) = failed.into_parts();
    let Error::Usage(UsageError::HeadersTooLarge { max: 1_000, size }) = error else {
        panic!("{error:?}")
    };
    assert!(size > 1_000);
    chan.publish(&default_exchange(), &queue, message(900)).mandatory().await?.await?;
    Ok(())
}

async fn limited(at: &Place, set: impl FnOnce(&mut hopmq::Limits)) -> Outcome<hopmq::Chan<Open>> {
    let mut limits = at.config().limits;
    set(&mut limits);
    let conn = Conn::new(at.config().limits(limits)).connect().await?;
    Ok(conn.open_channel().await?)
}

/// With a body in one frame, in several, and with none.
async fn headers_over_the_limit_are_not_taken(at: Place) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    let chan = limited(&at, |limits| limits.header_size = 1_000).await?;
    let mut consumer = chan.consume(&queue).await?;
    let default = default_exchange();
    for len in [4, 300_000, 0] {
        let large = Message::new(vec![7; len]).header("large", "x".repeat(2_000));
        publisher.publish(&default, &queue, large).await?.await?;
        publisher.publish(&default, &queue, b"fits").await?.await?;
        let error = consumer.next().await.ok_or("the next is told")?.unwrap_err();
        let ConsumeError::HeadersTooLarge { size, .. } = error else { panic!("{error:?}") };
        assert!(size > 2_000);
        let delivery = take(&mut consumer).await?;
        assert_eq!(delivery.contiguous_body(), Some(b"fits".as_slice()));
        delivery.ack()?;
    }
    chan.close().await?;
    assert_eq!(publisher.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn what_is_over_a_limit_is_not_got(at: Place) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    let small = |limits: &mut hopmq::Limits| (limits.header_size, limits.body_size) = (1_000, 10);
    let chan = limited(&at, small).await?;
    let default = default_exchange();
    publisher.publish(&default, &queue, b"more than ten bytes").await?.await?;
    let large = Message::new(b"x").header("large", "x".repeat(2_000));
    publisher.publish(&default, &queue, large).await?.await?;
    publisher.publish(&default, &queue, b"fits").await?.await?;
    let error = chan.get(&queue).await.unwrap_err();
    assert!(matches!(error, Error::Consumer(ConsumeError::TooLarge { size: 19, .. })), "{error:?}");
    let error = chan.get(&queue).await.unwrap_err();
    assert!(matches!(error, Error::Consumer(ConsumeError::HeadersTooLarge { .. })), "{error:?}");
    chan.get(&queue).await?.ok_or("it fits")?.ack()?;
    assert_eq!(chan.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn how_much_of_the_headers_is_decoded_can_be_set(at: Place) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    let flat = FieldTable::new().with("a", 1)?.with("b", 2)?;
    let nested = FieldTable::new().with("t", Value::Table(flat.clone()))?;
    for (depth, entries, is_read) in [(2, 3, true), (1, 3, false), (2, 2, false)] {
        let set = |limits: &mut hopmq::Limits| {
            (limits.table_depth, limits.table_entries) = (depth, entries);
        };
        let chan = limited(&at, set).await?;
        let message = Message::text("x").headers(nested.clone());
        publisher.publish(&default_exchange(), &queue, message).await?.await?;
        let delivery = chan.get(&queue).await?.ok_or("it is delivered all the same")?;
        assert_eq!(delivery.properties().headers().is_ok(), is_read, "{depth}, {entries}");
        assert_eq!(delivery.properties().header("t").is_some(), is_read || entries == 2);
        delivery.ack()?;
    }
    Ok(())
}

async fn the_longest_that_fits_arrives(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let key = "k".repeat(255);
    chan.bind(&queue, &Exchange::amq_topic(), &key).await?;
    let message = Message::new(b"x").message_id("i".repeat(255)).header("h".repeat(255), "v");
    chan.publish(&Exchange::amq_topic(), &key, message).mandatory().await?.await?;
    let large = Message::new(b"y").header("large", "x".repeat(100 * 1024));
    chan.publish(&default_exchange(), &queue, large).mandatory().await?.await?;
    let one = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(one.routing_key(), key);
    assert_eq!(one.properties().message_id().map(str::len), Some(255));
    one.ack()?;
    let two = chan.get(&queue).await?.ok_or("it is there")?;
    let header = two.properties().header("large");
    assert_eq!(header.as_ref().and_then(Value::as_str).map(str::len), Some(100 * 1024));
    two.ack()?;
    Ok(())
}

/// An honest broker passes on whatever somebody nests.
async fn headers_nested_too_deep_are_delivered_raw(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut table = FieldTable::new();
    for _ in 0..100 {
        let inner = std::mem::take(&mut table);
        table.insert("t", Value::Table(inner))?;
    }
    let message = Message::text("deep").headers(table);
    chan.publish(&default_exchange(), &queue, message).mandatory().await?.await?;
    let mut consumer = chan.consume(&queue).await?;
    let delivery = take(&mut consumer).await?;
    delivery.properties().headers().unwrap_err();
    assert_eq!(crate::place::text(&delivery), "deep");
    delivery.reject()?;
    assert_eq!(chan.counts(&queue).await?.messages, 0);
    Ok(())
}
