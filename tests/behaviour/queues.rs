//! Queues of every kind: declared, looked at, purged, deleted.

use std::time::Duration;

use hopmq::{DeadLetter, Exchange, Overflow, Queue, queue::Counts, wire::ReplyCode};

use crate::place::{Outcome, Place, fill, take, text, until};

on_both_brokers!(
    queues_of_every_kind_take_messages,
    a_queue_is_there_or_not,
    a_queue_is_found_or_not_and_no_channel_pays,
    a_queue_tells_what_it_holds,
    a_queue_is_purged,
    a_deleted_queue_gives_its_count,
    the_broker_names_a_queue,
    an_exclusive_queue_is_its_connections_own,
    an_auto_delete_queue_goes_with_its_last_consumer,
    other_arguments_are_refused,
    expired_and_rejected_messages_are_dead_lettered,
    a_full_queue_drops_its_oldest,
    declaring_again_is_fine,
);

async fn queues_of_every_kind_take_messages(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let classic = chan.declare(Queue::classic(at.name("classic"))).await?;
    let quorum = chan.declare(Queue::quorum(at.name("quorum"))).await?;
    let stream = chan.declare(Queue::stream(at.name("stream"))).await?;
    fill(&chan, &classic, &["a"]).await?;
    fill(&chan, &quorum, &["b"]).await?;
    fill(&chan, &stream, &["c"]).await?;

    let reader = at.chan().await?;
    let mut consumer = reader.consume(&classic).await?;
    let delivery = take(&mut consumer).await?;
    assert_eq!(text(&delivery), "a");
    delivery.ack()?;
    let mut consumer = reader.consume(&quorum).prefetch(10).await?;
    let delivery = take(&mut consumer).await?;
    assert_eq!(text(&delivery), "b");
    delivery.ack()?;
    let mut consumer =
        reader.consume(&stream).prefetch(10).offset(hopmq::queue::Offset::First).await?;
    let delivery = take(&mut consumer).await?;
    assert_eq!((text(&delivery), delivery.stream_offset()), ("c".to_owned(), Some(0)));
    delivery.ack()?;
    Ok(())
}

async fn a_queue_is_there_or_not(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let name = at.name("inbox");
    let queue = chan.declare(Queue::quorum(&name)).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    until(async || Ok(chan.counts(&queue).await?.messages == 2)).await?;
    let found = chan.declare(Queue::quorum(&name).passive()).await?;
    assert_eq!(found.name().as_str(), name);
    assert_eq!(found.counts_when_declared(), Counts { messages: 2, consumers: 0 });
    let error = chan.declare(Queue::quorum(at.name("missing")).passive()).await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn a_queue_is_found_or_not_and_no_channel_pays(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?;
    let name = at.name("inbox");
    assert!(conn.find(Queue::classic(&name)).await?.is_none());
    assert!(conn.find(Exchange::topic(at.name("orders"))).await?.is_none());
    chan.declare(Queue::classic(&name)).await?;
    let found = conn.find(Queue::classic(&name)).await?.expect("it is there now");
    assert_eq!(chan.counts(&found).await?.messages, 0);
    assert!(chan.close_reason().is_none());
    Ok(())
}

async fn a_queue_tells_what_it_holds(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    assert_eq!(queue.counts_when_declared(), Counts::default());
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    assert_eq!(chan.counts(&queue).await?, Counts { messages: 3, consumers: 0 });
    let mut consumer = chan.consume(&queue).prefetch(1).await?;
    let delivery = take(&mut consumer).await?;
    assert_eq!(chan.counts(&queue).await?, Counts { messages: 2, consumers: 1 });
    delivery.requeue()?;
    consumer.cancel().await?;
    drop(consumer);
    until(async || Ok(chan.counts(&queue).await?.messages == 3)).await
}

async fn a_queue_is_purged(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    let held = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(chan.purge(&queue).await?, 2);
    assert_eq!(chan.purge(&queue).await?, 0);
    held.requeue()?;
    assert_eq!(chan.purge(&queue).await?, 1, "what is unsettled stays");
    Ok(())
}

async fn a_deleted_queue_gives_its_count(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    assert_eq!(chan.delete_queue(&queue).await?, 2);
    assert_eq!(chan.delete_queue(&queue).await?, 0, "what is gone is gone");
    assert_eq!(chan.counts(&queue).await.unwrap_err().reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn the_broker_names_a_queue(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let one = chan.declare(Queue::server_named()).await?;
    let other = chan.declare(Queue::server_named()).await?;
    assert!(one.name().as_str().starts_with("amq.gen"), "{one:?}");
    assert_ne!(one.name(), other.name());
    assert!(one.is_server_named() && one.is_exclusive());
    let exchange = chan.declare(Exchange::direct(at.name("direct"))).await?;
    chan.bind(&one, &exchange, "key").await?;
    chan.publish(&exchange, "key", b"x").mandatory().await?.await?;
    assert_eq!(chan.counts(&one).await?.messages, 1);
    assert_eq!(chan.counts(&other).await?.messages, 0);
    Ok(())
}

async fn an_exclusive_queue_is_its_connections_own(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("mine");
    chan.declare(Queue::classic(&name).exclusive()).await?;
    let stranger = at.chan().await?;
    let error = stranger.declare(Queue::classic(&name).passive()).await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::RESOURCE_LOCKED), "{error:?}");
    Ok(())
}

async fn an_auto_delete_queue_goes_with_its_last_consumer(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::classic(at.name("brief")).auto_delete()).await?;
    let mut consumer = chan.consume(&queue).await?;
    assert_eq!(chan.counts(&queue).await?.consumers, 1);
    consumer.cancel().await?;
    let asks = at.conn().await?;
    until(async || {
        let asked = asks.open_channel().await?.counts(&queue).await;
        Ok(asked.is_err_and(|error| error.reply_code() == Some(ReplyCode::NOT_FOUND)))
    })
    .await
}

async fn other_arguments_are_refused(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("inbox");
    chan.declare(Queue::classic(&name).max_length(10)).await?;
    let error = chan.declare(Queue::classic(&name).max_length(11)).await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::PRECONDITION_FAILED));
    let text = error.reply_text().unwrap_or_default();
    assert!(text.contains("inequivalent arg 'x-max-length' for queue"), "{text}");
    Ok(())
}

async fn expired_and_rejected_messages_are_dead_lettered(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Exchange::topic(at.name("dead"))).await?;
    let grave = chan.declare(Queue::classic(at.name("grave"))).await?;
    chan.bind(&grave, &dead, "#").await?;
    let ttl = Queue::classic(at.name("expiring")).message_ttl(Duration::ZERO);
    let expiring = chan.declare(ttl.dead_letter(DeadLetter::to(&dead))).await?;
    let rejecting = Queue::quorum(at.name("rejecting")).dead_letter(DeadLetter::to(&dead));
    let rejecting = chan.declare(rejecting).await?;

    let mut consumer = chan.consume(&grave).await?;
    fill(&chan, &expiring, &["expired"]).await?;
    let delivery = take(&mut consumer).await?;
    assert_eq!(text(&delivery), "expired");
    assert_eq!(death(&delivery), Some("expired".to_owned()));
    delivery.ack()?;

    fill(&chan, &rejecting, &["rejected"]).await?;
    let mut rejects = chan.consume(&rejecting).await?;
    take(&mut rejects).await?.reject()?;
    let delivery = take(&mut consumer).await?;
    assert_eq!(text(&delivery), "rejected");
    assert_eq!(death(&delivery), Some("rejected".to_owned()));
    delivery.ack()?;
    Ok(())
}

/// Why it was dead-lettered first.
fn death(received: &hopmq::Received) -> Option<String> {
    let deaths = received.properties().header("x-death")?;
    let first = deaths.as_array()?.first()?.as_table()?.get("reason")?.as_str()?.to_owned();
    Some(first)
}

async fn a_full_queue_drops_its_oldest(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let full = Queue::classic(at.name("full")).max_length(2).overflow(Overflow::DropHead);
    let queue = chan.declare(full).await?;
    fill(&chan, &queue, &["a", "b", "c"]).await?;
    for expected in ["b", "c"] {
        let delivery = chan.get(&queue).await?.ok_or("it is there")?;
        assert_eq!(text(&delivery), expected);
        delivery.ack()?;
    }
    Ok(())
}

async fn declaring_again_is_fine(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let name = at.name("inbox");
    let first = chan.declare(Queue::classic(&name)).await?;
    fill(&chan, &first, &["x"]).await?;
    let again = chan.declare(Queue::classic(&name)).await?;
    assert_eq!((again.name(), again.counts_when_declared().messages), (first.name(), 1));
    Ok(())
}
