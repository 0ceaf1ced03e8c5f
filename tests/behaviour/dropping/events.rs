//! What happens to a connection: whoever stopped waiting for it and asks again has missed nothing.

use std::time::Duration;

use hopmq::{Conn, Connected, Queue, service::metrics::Reporter};

use super::Point;
use crate::place::{Outcome, Place, fill, take_texts, until};

dropped_at_each_point!(
    on_the_embedded_broker:
    waiting_for_changes_of_state,
    waiting_for_interruptions,
    waiting_to_be_blocked_and_unblocked,
    reporting,
);

/// Cuts the connection, and waits until it is back.
async fn cut(at: &Place, conn: &Conn<Connected>) -> Outcome {
    let losses = conn.stats().machine.losses;
    at.broker().faults().cut_connections();
    until(async || Ok(conn.stats().machine.losses > losses)).await?;
    conn.open_channel().await?.close().await?;
    Ok(())
}

async fn waiting_for_changes_of_state(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let (mut changes, mut others) = (conn.state_changes(), conn.state_changes());
    let mut seen = Vec::new();
    for point in Point::all().take(5) {
        cut(&at, &conn).await?;
        seen.extend(point.reach(changes.next()).await.flatten().map(|change| change.event));
    }
    conn.close().await?;
    while let Some(change) = changes.next().await {
        seen.push(change.event);
    }
    let mut all = Vec::new();
    while let Some(change) = others.next().await {
        all.push(change.event);
    }
    assert_eq!(seen, all, "none is lost");
    assert_eq!(all.iter().filter(|event| **event == "lost").count(), 5);
    Ok(())
}

async fn waiting_for_interruptions(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).await?;
    let mut interruptions = consumer.interruptions();
    let mut count = 0;
    for point in Point::all().take(5) {
        cut(&at, &conn).await?;
        count += usize::from(point.reach(interruptions.next()).await.flatten().is_some());
    }
    while count < 5 {
        interruptions.next().await.ok_or("it goes on")?;
        count += 1;
    }
    fill(&chan, &queue, &["goes on"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["goes on"]);
    Ok(())
}

async fn waiting_to_be_blocked_and_unblocked(at: Place) -> Outcome {
    let conn = at.conn().await?;
    // Who has published is told.
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["published"]).await?;
    let faults = at.broker().faults();
    for point in Point::all().take(7) {
        // One that waits before it happens, and one that is dropped before.
        let mut early = std::pin::pin!(conn.blocked());
        assert!(Point { polls: 1, woken: false }.reach(early.as_mut()).await.is_none());
        assert!(Point { polls: 1, woken: false }.reach(conn.blocked()).await.is_none());
        faults.block();
        if let Some(blocked) = point.reach(conn.blocked()).await {
            blocked?;
        }
        early.await?;
        assert!(Point { polls: 1, woken: false }.reach(conn.unblocked()).await.is_none());
        faults.unblock();
        if let Some(unblocked) = point.reach(conn.unblocked()).await {
            unblocked?;
        }
        conn.unblocked().await?;
    }
    conn.open_channel().await?.close().await?;
    Ok(())
}

async fn reporting(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let reporter = || Reporter::new(conn.state_changes(), "ours").every(Duration::from_millis(1));
    for point in Point::all().take(5) {
        assert!(point.reach(reporter().run()).await.is_none(), "it ends with the connection");
        conn.open_channel().await?.close().await?;
    }
    let last = reporter();
    conn.close().await?;
    last.run().await;
    Ok(())
}
