//! What goes wrong in one place stays there: an exception on one channel, a flood on one connection.

use std::time::Duration;

use hopmq::{Conn, Error, Message, Queue, wire::ReplyCode};

use crate::place::{Outcome, Place, default_exchange, take};

on_both_brokers!(
    an_exception_on_one_channel_leaves_the_others_untouched,
    a_flood_on_one_connection_leaves_the_others_untouched,
);

async fn an_exception_on_one_channel_leaves_the_others_untouched(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let taker = conn.open_channel().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = taker.consume(&queue).await?;
    let default = default_exchange();
    for number in 0..20_u32 {
        // One channel after the other dies in the middle of what its neighbours do.
        let failing = conn.open_channel().await?;
        let confirm =
            publisher.publish(&default, &queue, Message::new(number.to_be_bytes())).await?;
        let missing = failing.declare(Queue::classic(at.name("missing")).passive());
        let (missing, confirm) = tokio::join!(missing, confirm);
        let error = missing.map(drop).unwrap_err();
        assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND), "{error:?}");
        confirm?;
        let delivery = take(&mut consumer).await?;
        assert_eq!(delivery.contiguous_body(), Some(number.to_be_bytes().as_slice()));
        delivery.ack()?;
        let again = failing.counts(&queue).await.unwrap_err();
        assert_eq!(again.reply_code(), Some(ReplyCode::NOT_FOUND), "it keeps its own reason");
    }
    assert!(conn.close_reason().is_none());
    assert!(publisher.close_reason().is_none() && taker.close_reason().is_none());
    assert_eq!(publisher.counts(&queue).await?.messages, 0);
    Ok(())
}

/// Messages that nobody takes stop the reading of their own connection, and of no other.
async fn a_flood_on_one_connection_leaves_the_others_untouched(at: Place) -> Outcome {
    let mut config = at.config();
    config.limits.consumer_bytes = 64 * 1024;
    config.limits.consumer_stall = Duration::from_secs(3600);
    let (flooded, other) = (Conn::new(config).connect().await?, at.publisher().await?);
    let chan = flooded.open_channel().await?;
    let flood = other.declare(Queue::classic(at.name("flood"))).await?;
    let calm = other.declare(Queue::classic(at.name("calm"))).await?;
    let mut stalled = chan.consume(&flood).automatic_ack().await?;
    let default = default_exchange();
    for _ in 0..200 {
        other.publish(&default, &flood, vec![0; 100_000]).await?.await?;
    }
    // The flooded connection is no longer read: its own calls wait.
    let late = chan.counts(&calm).within(Duration::from_millis(200)).await;
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    for _ in 0..50 {
        other.publish(&default, &calm, b"calm").await?.await?;
        other.get(&calm).await?.ok_or("it is there")?.ack()?;
    }
    assert!(flooded.close_reason().is_none());
    // Whoever takes at last finds all of it, and the connection goes on.
    for _ in 0..200 {
        let received = stalled.next().await.ok_or("all of it")??;
        assert_eq!(received.body_len(), 100_000);
    }
    assert_eq!(chan.counts(&calm).await?.messages, 0);
    Ok(())
}
