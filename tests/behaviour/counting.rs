//! A connection counts what goes through it.

use hopmq::Queue;

use crate::place::{Outcome, Place, default_exchange, take, until};

on_both_brokers!(a_connection_counts_what_goes_through_it);

async fn a_connection_counts_what_goes_through_it(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("counted"))).await?;
    assert_eq!(conn.stats().channels, 1);
    for body in ["one", "three"] {
        chan.publish(&default_exchange(), &queue, body.as_bytes()).mandatory().await?.await?;
    }
    let nowhere = at.name("nowhere");
    let lost = chan.publish(&default_exchange(), &*nowhere, b"lost").mandatory().await?;
    lost.await.expect_err("there is no such queue");
    let mut consumer = chan.consume(&queue).await?;
    let first = take(&mut consumer).await?;
    let second = take(&mut consumer).await?;
    assert_eq!(conn.stats().unsettled, 2);
    first.ack()?;
    second.requeue()?;
    let again = take(&mut consumer).await?;
    assert!(again.is_redelivered());
    again.ack()?;

    let stats = conn.stats();
    let traffic = stats.traffic;
    assert_eq!((traffic.published, traffic.published_bytes), (3, 12));
    assert_eq!((traffic.confirmed, traffic.nacked, traffic.returned), (3, 0, 1));
    assert_eq!((traffic.delivered, traffic.delivered_bytes, traffic.redelivered), (3, 13, 1));
    assert_eq!((stats.unsettled, stats.unconfirmed, stats.is_blocked), (0, 0, false));
    assert!(traffic.bytes_sent > 100 && traffic.bytes_received > 100, "{traffic:?}");
    // What waits for the socket and for consumers is soon gone.
    let empty = || conn.stats().outbound_bytes == 0 && conn.stats().inbound_bytes == 0;
    until(async || Ok(empty())).await?;
    drop(chan);
    drop(consumer);
    until(async || Ok(conn.stats().channels == 0)).await
}
