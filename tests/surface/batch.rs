//! `Batch`: all are settled, nobody else's is.

use hopmq::{Batch, Chan, Classic, Conn, Connected, Consumer, Delivery, Exchange, Open, Queue};

use super::{Result, on_both_brokers};

async fn filled(chan: &Chan<Open>, messages: u8) -> Result<Queue<Classic>> {
    let queue = chan.declare(Queue::server_named()).await?;
    for number in 0..messages {
        chan.publish_unconfirmed(&Exchange::default_exchange(), &queue, [number]).await?;
    }
    Ok(queue)
}

async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<Delivery>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(consumer.next().await.ok_or("the consumer ended")??);
    }
    Ok(taken)
}

/// What is left in the queue once the channel, and with it every consumer, is closed.
async fn left(conn: &Conn<Connected>, chan: Chan<Open>, queue: &Queue<Classic>) -> Result<u32> {
    chan.close().await?;
    Ok(conn.open_channel().await?.counts(queue).await?.messages)
}

async fn an_ack_settles_the_batch_and_nothing_else(conn: Conn<Connected>) -> Result {
    let chan = conn.open_channel().await?;
    let queue = filled(&chan, 10).await?;
    let mut deliveries = take(&mut chan.consume(&queue).await?, 10).await?;
    // In no order, and above deliveries that somebody still works on.
    let held = deliveries.remove(4);
    let mut batch: Batch = deliveries.drain(2..).rev().collect();
    assert_eq!(batch.len(), 7);
    batch.take().ack()?;
    assert!(batch.is_empty(), "it can be filled anew");
    batch.extend(deliveries);
    batch.push(held);
    assert_eq!(batch.len(), 3);
    batch.requeue()?;
    // Tags 1, 2 and 5 went back; a multiple ack over them would have lost them.
    assert_eq!(left(&conn, chan, &queue).await?, 3);
    Ok(())
}

async fn a_batch_spans_channels(conn: Conn<Connected>) -> Result {
    let (one, other) = (conn.open_channel().await?, conn.open_channel().await?);
    let (first, second) = (filled(&one, 3).await?, filled(&other, 3).await?);
    let mut deliveries = take(&mut one.consume(&first).await?, 3).await?;
    deliveries.extend(take(&mut other.consume(&second).await?, 3).await?);
    Batch::from_iter(deliveries).ack()?;
    assert_eq!(left(&conn, one, &first).await?, 0);
    assert_eq!(left(&conn, other, &second).await?, 0);
    Ok(())
}

async fn a_dropped_batch_goes_back_to_the_queue(conn: Conn<Connected>) -> Result {
    let chan = conn.open_channel().await?;
    let queue = filled(&chan, 3).await?;
    let mut consumer = chan.consume(&queue).await?;
    let batch: Batch = take(&mut consumer, 3).await?.into_iter().collect();
    drop(batch);
    let again = take(&mut consumer, 3).await?;
    assert!(again.iter().all(|delivery| delivery.is_redelivered()));
    let receipts = again.into_iter().map(|delivery| delivery.into_parts().1);
    receipts.collect::<Batch>().reject()?;
    assert_eq!(left(&conn, chan, &queue).await?, 0);
    Ok(())
}

async fn a_batch_of_a_dead_channel_says_so_and_settles_the_rest(conn: Conn<Connected>) -> Result {
    let (dead, alive) = (conn.open_channel().await?, conn.open_channel().await?);
    let (first, second) = (filled(&dead, 2).await?, filled(&alive, 2).await?);
    let mut deliveries = take(&mut dead.consume(&first).await?, 2).await?;
    deliveries.extend(take(&mut alive.consume(&second).await?, 2).await?);
    let dead = dead.close().await?;
    let error = deliveries.into_iter().collect::<Batch>().ack().unwrap_err();
    assert!(matches!(error, hopmq::Error::Closed | hopmq::Error::Stale), "{error}");
    assert_eq!(left(&conn, alive, &second).await?, 0);
    assert_eq!(left(&conn, dead.reopen().await?, &first).await?, 2);
    Ok(())
}

on_both_brokers!(
    an_ack_settles_the_batch_and_nothing_else,
    a_batch_spans_channels,
    a_dropped_batch_goes_back_to_the_queue,
    a_batch_of_a_dead_channel_says_so_and_settles_the_rest,
);
