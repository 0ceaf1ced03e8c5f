//! Closing in an orderly way: what is under way is finished, within a deadline, and what is not is told.

use std::time::{Duration, Instant};

use hopmq::{Conn, Connected, ConnectionState, Error, Queue, fsm::supervisor::Policy};

use crate::place::{Outcome, Place, default_exchange, fill, take, until};

on_both_brokers!(
    closing_waits_for_deliveries_that_are_processed,
    closing_ends_consumers_and_puts_back_what_waits_for_them,
    closing_tells_of_deliveries_that_were_not_settled,
    a_connection_that_left_nothing_over_says_so,
);

mod withheld {
    use super::*;

    on_the_embedded_broker!(closing_tells_of_publishes_that_were_not_confirmed);
}

/// A connection that drains for so long.
async fn draining(at: &Place, drain_timeout: Duration) -> Outcome<Conn<Connected>> {
    let policy = Policy { drain_timeout, ..Policy::default() };
    Ok(Conn::new(at.config().recovery(policy)).connect().await?)
}

async fn closing_waits_for_deliveries_that_are_processed(at: Place) -> Outcome {
    let conn = draining(&at, Duration::from_secs(120)).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&at.publisher().await?, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let delivery = take(&mut consumer).await?;
    let watch = conn.state_changes();
    let closing = tokio::spawn(conn.close());
    let mut watch = watch;
    while watch.next().await.ok_or("it is closing")?.to != ConnectionState::Closing {}
    assert!(consumer.next().await.is_none(), "nothing more comes");
    assert!(!closing.is_finished(), "it waits");
    delivery.ack()?;
    let conn = closing.await??;
    assert!(conn.left_over().is_some_and(|left| left.is_nothing()));
    let left = at.chan().await?.delete_queue(&queue).await?;
    assert_eq!(left, 0, "the ack went out before the end");
    Ok(())
}

async fn closing_ends_consumers_and_puts_back_what_waits_for_them(at: Place) -> Outcome {
    let conn = draining(&at, Duration::from_secs(120)).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&at.publisher().await?, &queue, &["a", "b", "c", "d"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    take(&mut consumer).await?.ack()?;
    // The others have arrived, or will: nobody takes them.
    let began = Instant::now();
    let conn = conn.close().await?;
    assert!(began.elapsed() < Duration::from_secs(60), "it waits for nobody");
    assert!(conn.left_over().is_some_and(|left| left.is_nothing()), "{:?}", conn.left_over());
    let other = at.chan().await?;
    until(async || Ok(other.counts(&queue).await?.messages == 3)).await?;
    Ok(())
}

async fn closing_tells_of_deliveries_that_were_not_settled(at: Place) -> Outcome {
    let conn = draining(&at, Duration::from_millis(50)).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&at.publisher().await?, &queue, &["a", "b", "c"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let (a, b) = (take(&mut consumer).await?, take(&mut consumer).await?);
    let conn = conn.close().await?;
    let left = conn.left_over().ok_or("it was open")?;
    assert_eq!((left.unconfirmed, left.unsettled), (0, 2));
    assert!(matches!(a.ack(), Err(Error::Closed)));
    drop(b);
    let other = at.chan().await?;
    until(async || Ok(other.counts(&queue).await?.messages == 3)).await?;
    Ok(())
}

async fn closing_tells_of_publishes_that_were_not_confirmed(at: Place) -> Outcome {
    let conn = draining(&at, Duration::from_millis(50)).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().withhold_confirms();
    let confirm = chan.publish(&default_exchange(), &queue, b"a").await?;
    let conn = conn.close().await?;
    let left = conn.left_over().ok_or("it was open")?;
    assert_eq!((left.unconfirmed, left.unsettled), (1, 0));
    assert!(confirm.await.is_err());
    Ok(())
}

async fn a_connection_that_left_nothing_over_says_so(at: Place) -> Outcome {
    let conn = Conn::new(at.config());
    assert_eq!(conn.left_over(), None);
    let conn = conn.connect().await?.close().await?;
    assert!(conn.left_over().is_some_and(|left| left.is_nothing()));
    Ok(())
}
