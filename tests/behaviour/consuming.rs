//! Consuming and settling: what is not settled comes back, what is settled does not.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use hopmq::{
    Conn, ConsumeError, Message, Queue,
    queue::{Offset, TimeUnit},
    wire::ReplyCode,
};

use crate::place::{
    Outcome, Place, default_exchange, fill, is_pending, take, take_texts, text, until,
};

on_both_brokers!(
    deliveries_come_in_order_and_are_acked,
    prefetch_bounds_what_is_unsettled,
    a_requeued_delivery_comes_again,
    a_rejected_delivery_does_not_come_again,
    a_dropped_delivery_goes_back,
    a_delivery_in_parts_is_settled_by_its_receipt,
    a_dropped_consumer_returns_its_buffer,
    a_cancelled_consumer_ends_after_its_buffer,
    get_takes_one,
    automatic_acks_settle_at_once,
    a_deleted_queue_cancels_its_consumers,
    a_closed_channel_ends_its_consumers,
    an_exclusive_consumer_is_alone,
    consumers_share_a_queue,
    a_consumer_of_higher_priority_is_served_first,
    a_single_active_consumer_hands_over,
    a_quorum_queue_counts_returns,
    a_stream_is_read_again,
    a_stream_is_read_from_where_one_says,
    a_delivery_knows_where_it_came_from,
    a_delivery_outlives_its_consumer,
    a_stalled_consumer_is_cancelled_alone,
);

async fn deliveries_come_in_order_and_are_acked(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).prefetch(3).await?;
    let bodies: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    fill(&chan, &queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    assert_eq!(take_texts(&mut consumer, 50).await?, bodies);
    consumer.cancel().await?;
    chan.close().await?;
    assert_eq!(at.chan().await?.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn prefetch_bounds_what_is_unsettled(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b", "c", "d"]).await?;
    let mut consumer = chan.consume(&queue).prefetch(2).await?;
    let (one, two) = (take(&mut consumer).await?, take(&mut consumer).await?);
    assert_eq!(chan.counts(&queue).await?.messages, 2, "two wait in the broker");
    assert!(is_pending(&mut consumer.next()).await);
    two.ack()?;
    let three = take(&mut consumer).await?;
    assert_eq!((text(&one), text(&three)), ("a".to_owned(), "c".to_owned()));
    assert_eq!(chan.counts(&queue).await?.messages, 1);
    one.ack()?;
    three.ack()?;
    take(&mut consumer).await?.ack()?;
    Ok(())
}

async fn a_requeued_delivery_comes_again(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let first = take(&mut consumer).await?;
    assert!(!first.is_redelivered());
    first.requeue()?;
    let second = take(&mut consumer).await?;
    assert!(second.is_redelivered());
    second.ack()?;
    Ok(())
}

async fn a_rejected_delivery_does_not_come_again(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    take(&mut consumer).await?.reject()?;
    let next = take(&mut consumer).await?;
    assert_eq!((text(&next), next.is_redelivered()), ("b".to_owned(), false));
    next.ack()?;
    Ok(())
}

async fn a_dropped_delivery_goes_back(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    drop(take(&mut consumer).await?);
    let again = take(&mut consumer).await?;
    assert!(again.is_redelivered());
    let (received, receipt) = again.into_parts();
    drop(receipt);
    assert_eq!(text(&received), "a", "the message is apart from the duty to settle it");
    take(&mut consumer).await?.ack()?;
    Ok(())
}

async fn a_delivery_in_parts_is_settled_by_its_receipt(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a"]).await?;
    let (received, receipt) = chan.get(&queue).await?.ok_or("it is there")?.into_parts();
    assert_eq!(text(&received), "a");
    receipt.ack()?;
    chan.close().await?;
    assert_eq!(at.chan().await?.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn a_dropped_consumer_returns_its_buffer(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let bodies = ["a", "b", "c", "d", "e"];
    fill(&chan, &queue, &bodies).await?;
    let mut consumer = chan.consume(&queue).prefetch(10).await?;
    take(&mut consumer).await?.ack()?;
    let held = take(&mut consumer).await?;
    drop(consumer);
    until(async || {
        let counts = chan.counts(&queue).await?;
        Ok((counts.messages, counts.consumers) == (3, 0))
    })
    .await?;
    held.ack()?;
    let mut consumer = chan.consume(&queue).await?;
    assert_eq!(take_texts(&mut consumer, 3).await?, ["c", "d", "e"]);
    Ok(())
}

async fn a_cancelled_consumer_ends_after_its_buffer(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    let mut consumer = chan.consume(&queue).prefetch(10).await?;
    let first = take(&mut consumer).await?;
    until(async || Ok(chan.counts(&queue).await?.messages == 0)).await?;
    consumer.cancel().await?;
    assert_eq!(take_texts(&mut consumer, 2).await?, ["b", "c"]);
    assert!(consumer.next().await.is_none());
    assert!(consumer.next().await.is_none());
    first.ack()?;
    Ok(())
}

async fn get_takes_one(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox"))).await?;
    assert!(chan.get(&queue).await?.is_none());
    fill(&chan, &queue, &["a", "b"]).await?;
    let one = chan.get(&queue).await?.ok_or("a")?;
    let two = chan.get(&queue).await?.ok_or("b")?;
    assert_eq!((text(&one), text(&two)), ("a".to_owned(), "b".to_owned()));
    assert!(chan.get(&queue).await?.is_none());
    one.requeue()?;
    two.ack()?;
    until(async || Ok(chan.counts(&queue).await?.messages == 1)).await?;
    let again = chan.get(&queue).await?.ok_or("a again")?;
    assert!(again.is_redelivered());
    again.ack()?;
    Ok(())
}

async fn automatic_acks_settle_at_once(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    let mut consumer = chan.consume(&queue).automatic_ack().await?;
    for expected in ["a", "b"] {
        let received = consumer.next().await.ok_or("it ended")??;
        assert_eq!(text(&received), expected);
    }
    chan.close().await?;
    assert_eq!(at.chan().await?.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn a_deleted_queue_cancels_its_consumers(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let other = chan.declare(Queue::server_named()).await?;
    fill(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let mut unharmed = chan.consume(&other).await?;
    let held = take(&mut consumer).await?;
    at.chan().await?.delete_queue(&queue).await?;
    let error = consumer.next().await.ok_or("the end comes with its reason")?.unwrap_err();
    let ConsumeError::CancelledByBroker { queue: name } = &error else { panic!("{error:?}") };
    assert_eq!(*name, queue.name());
    assert!(consumer.next().await.is_none());
    held.ack()?;
    fill(&chan, &other, &["fine"]).await?;
    take(&mut unharmed).await?.ack()?;
    Ok(())
}

async fn a_closed_channel_ends_its_consumers(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).await?;
    chan.close().await?;
    assert!(consumer.next().await.is_none(), "this program closed it: that is no error");
    Ok(())
}

async fn an_exclusive_consumer_is_alone(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let consumer = chan.consume(&queue).exclusive().await?;
    let other = at.chan().await?;
    let error = other.consume(&queue).await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::ACCESS_REFUSED), "{error:?}");
    drop(consumer);
    let other = other.into_closed().expect("it was closed").reopen().await?;
    until(async || Ok(other.counts(&queue).await?.consumers == 0)).await?;
    drop(other.consume(&queue).exclusive().await?);
    Ok(())
}

async fn consumers_share_a_queue(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut one = chan.consume(&queue).prefetch(1).await?;
    let mut two = at.chan().await?.consume(&queue).prefetch(1).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    let (first, second) = (take(&mut one).await?, take(&mut two).await?);
    let mut both = [text(&first), text(&second)];
    both.sort();
    assert_eq!(both, ["a", "b"]);
    first.ack()?;
    second.ack()?;
    Ok(())
}

async fn a_consumer_of_higher_priority_is_served_first(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut low = chan.consume(&queue).prefetch(2).await?;
    let mut high = chan.consume(&queue).prefetch(2).priority(10).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    let (a, b) = (take(&mut high).await?, take(&mut high).await?);
    let c = take(&mut low).await?;
    assert_eq!([text(&a), text(&b), text(&c)], ["a", "b", "c"]);
    Ok(())
}

async fn a_single_active_consumer_hands_over(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox")).single_active_consumer()).await?;
    let mut first = chan.consume(&queue).prefetch(1).await?;
    let mut second = chan.consume(&queue).prefetch(1).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    take(&mut first).await?.ack()?;
    let b = take(&mut first).await?;
    assert!(is_pending(&mut second.next()).await);
    b.ack()?;
    first.cancel().await?;
    fill(&chan, &queue, &["c"]).await?;
    let c = take(&mut second).await?;
    assert_eq!(text(&c), "c");
    c.ack()?;
    Ok(())
}

async fn a_quorum_queue_counts_returns(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox")).delivery_limit(5)).await?;
    fill(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).prefetch(1).await?;
    for count in 0..3 {
        let delivery = take(&mut consumer).await?;
        assert_eq!(delivery.delivery_count().unwrap_or_default(), count);
        delivery.requeue()?;
    }
    take(&mut consumer).await?.ack()?;
    Ok(())
}

async fn a_stream_is_read_again(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::stream(at.name("log"))).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    for _ in 0..2 {
        let reader = at.chan().await?;
        let mut all = reader.consume(&queue).prefetch(2).offset(Offset::First).await?;
        assert_eq!(take_texts(&mut all, 3).await?, ["a", "b", "c"]);
        let mut some = reader.consume(&queue).prefetch(2).offset(Offset::At(1)).await?;
        let delivery = take(&mut some).await?;
        assert_eq!((text(&delivery), delivery.stream_offset()), ("b".to_owned(), Some(1)));
        delivery.ack()?;
    }
    Ok(())
}

async fn a_stream_is_read_from_where_one_says(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::stream(at.name("log"))).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    let hour = Duration::from_secs(3600);
    let (before, ago) = (SystemTime::now() - hour, NonZeroU32::MIN);
    for from_the_start in [
        Offset::First,
        Offset::At(0),
        Offset::Since(before),
        Offset::Ago(ago, TimeUnit::Hours),
        Offset::Ago(ago, TimeUnit::Years),
    ] {
        let reader = at.chan().await?;
        let mut all = reader.consume(&queue).prefetch(10).offset(from_the_start).await?;
        assert_eq!(take_texts(&mut all, 3).await?, ["a", "b", "c"], "{from_the_start:?}");
    }
    // The last chunk ends with the last message, whatever else is in it.
    let reader = at.chan().await?;
    let mut last = reader.consume(&queue).prefetch(10).offset(Offset::Last).await?;
    while take_texts(&mut last, 1).await? != ["c"] {}
    let mut next = reader.consume(&queue).prefetch(10).offset(Offset::Next).await?;
    fill(&chan, &queue, &["d"]).await?;
    assert_eq!(take_texts(&mut next, 1).await?, ["d"]);
    Ok(())
}

async fn a_delivery_knows_where_it_came_from(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let exchange = chan.declare(hopmq::Exchange::topic(at.name("orders"))).await?;
    let queue = chan.declare(Queue::server_named()).await?;
    chan.bind(&queue, &exchange, "order.#").await?;
    chan.publish(&exchange, "order.eu", b"x").mandatory().await?.await?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(delivery.exchange(), exchange.name());
    assert_eq!(delivery.routing_key(), "order.eu");
    // Forwarded as it came.
    let (received, receipt) = delivery.into_parts();
    let forwarded = received.into_message();
    chan.publish(&default_exchange(), &queue, forwarded).await?.await?;
    receipt.ack()?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!((delivery.exchange(), text(&delivery)), ("".into(), "x".to_owned()));
    delivery.ack()?;
    Ok(())
}

async fn a_delivery_outlives_its_consumer(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a"]).await?;
    let consumer_chan = at.chan().await?;
    let mut consumer = consumer_chan.consume(&queue).await?;
    let delivery = take(&mut consumer).await?;
    consumer.cancel().await?;
    drop((consumer, consumer_chan));
    // The delivery holds its channel open.
    assert!(Message::from(delivery.body()).body().len() == 1);
    delivery.ack()?;
    until(async || {
        let counts = chan.counts(&queue).await?;
        Ok((counts.messages, counts.consumers) == (0, 0))
    })
    .await
}

/// Automatic acks, and nobody takes anything: reading stops for a bounded time, then this consumer alone ends.
async fn a_stalled_consumer_is_cancelled_alone(at: Place) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(Queue::classic(at.name("flood"))).await?;
    let mut limits = at.config().limits;
    limits.consumer_messages = 10;
    limits.consumer_stall = Duration::from_millis(200);
    let conn = Conn::new(at.config().limits(limits)).connect().await?;
    let chan = conn.open_channel().await?;
    let mut stalled = chan.consume(&queue).automatic_ack().await?;
    let neighbour = conn.open_channel().await?;
    let own = neighbour.declare(Queue::server_named()).await?;
    let mut served = neighbour.consume(&own).await?;

    let mut confirms = Vec::new();
    for _ in 0..100 {
        confirms.push(publisher.publish(&default_exchange(), &queue, vec![0; 5_000]).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    // Whoever shares the connection waits for so long at most.
    neighbour.publish_unconfirmed(&default_exchange(), &own, b"fine").await?;
    take(&mut served).await?.ack()?;
    until(async || Ok(neighbour.counts(&queue).await?.consumers == 0)).await?;

    let mut received = 0;
    let end = loop {
        match stalled.next().await.ok_or("the end comes with its reason")? {
            Ok(_) => received += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, ConsumeError::Overrun { .. }), "{end:?}");
    assert!(received <= 100);
    assert!(stalled.next().await.is_none());
    assert!(chan.close_reason().is_none(), "its channel lives");
    chan.counts(&queue).await?;
    Ok(())
}
