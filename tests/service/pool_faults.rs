//! What is wrong with a connection of a pool is that connection's, and mended.

use std::{sync::Arc, time::Duration};

use hopmq::{
    Classic, Confirming, ConnectionState, Queue,
    service::pool::{ChanPool, PoolMode, PooledChan, Publishing, Purpose},
};

use crate::place::{Outcome, Place, default_exchange, is_pending, until};

on_the_embedded_broker!(
    a_lost_connection_is_the_same_again,
    a_connection_that_has_given_up_is_replaced,
    what_does_not_answer_is_evicted,
    publishers_that_are_blocked_do_not_stall_what_is_consumed,
    a_pool_that_is_dropped_leaves_nothing,
    nothing_is_dialled_for_a_call_that_was_dropped,
);

async fn a_lost_connection_is_the_same_again(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).build()?;
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    drop(chan);
    at.broker().faults().cut_connections();
    until(async || Ok(pool.status().connections[0].stats.machine.losses == 1)).await?;
    pool.check().await;
    let chan = pool.get().await?;
    chan.publish(&default_exchange(), &queue, b"x").mandatory().await?.await?;
    let status = pool.status();
    assert_eq!((status.created, status.connections_created, status.evicted.total()), (1, 1, 0));
    Ok(())
}

async fn a_connection_that_has_given_up_is_replaced(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config().without_recovery()).build()?;
    let chan = pool.get().await?;
    at.broker().faults().cut_connections();
    chan.as_chan().closed().await;
    pool.check().await;
    let status = pool.status();
    assert_eq!((status.connections_created, status.connections_evicted.closed), (2, 1));
    assert_eq!(status.connections[0].stats.state, ConnectionState::Connected);
    drop(chan);
    drop(pool.get().await?);
    assert_eq!(pool.status().evicted.closed, 1);
    Ok(())
}

async fn what_does_not_answer_is_evicted(at: Place) -> Outcome {
    let config = at.config().connection_timeout(Duration::from_millis(200));
    let pool = ChanPool::consuming(config).check_within(Duration::from_millis(50)).build()?;
    drop(pool.get().await?);
    at.broker().faults().stop_reading();
    pool.check().await;
    let status = pool.status();
    assert_eq!((status.connections.len(), status.connections_evicted.unanswered), (0, 1));
    assert_eq!((status.channels, status.evicted.unanswered), (0, 1));
    at.broker().faults().resume_reading();
    until(async || Ok(pool.get().await.is_ok())).await
}

async fn publishers_that_are_blocked_do_not_stall_what_is_consumed(at: Place) -> Outcome {
    let publishing = ChanPool::publishing(at.config()).check_within(Duration::from_millis(50));
    let (publishing, consuming) = (publishing.build()?, ChanPool::consuming(at.config()).build()?);
    let publisher = publishing.get().await?;
    let queue = publisher.declare(Queue::classic(at.name("inbox"))).await?;
    publisher.publish(&default_exchange(), &queue, b"before").mandatory().await?.await?;
    at.broker().faults().block();
    let mut blocked = Box::pin(publishes(&publisher, &queue));
    assert!(is_pending(&mut blocked).await);
    let chan = consuming.get().await?;
    let mut consumer = chan.consume(&queue).await?;
    consumer.next().await.ok_or("a message")??.ack()?;
    drop(consumer);
    assert_eq!(chan.counts(&queue).await?.consumers, 0, "acks and all else are not stalled");
    // A connection that is blocked is not one that does not answer.
    until(async || Ok(publishing.status().connections[0].stats.is_blocked)).await?;
    publishing.check().await;
    assert_eq!(publishing.status().connections_evicted.total(), 0);
    at.broker().faults().unblock();
    blocked.await
}

async fn publishes(chan: &PooledChan<Confirming, Publishing>, queue: &Queue<Classic>) -> Outcome {
    let confirm = chan.publish(&default_exchange(), queue, b"during").mandatory().await?;
    Ok(confirm.await?)
}

async fn a_pool_that_is_dropped_leaves_nothing(at: Place) -> Outcome {
    let every = Duration::from_millis(1);
    let pool = ChanPool::publishing(at.config()).check_every(every).build()?;
    let (chan, other) = (pool.get().await?, pool.clone());
    drop(pool);
    drop(other);
    chan.declare(Queue::classic(at.name("inbox"))).await?;
    assert_eq!(at.broker().connection_count(), 1, "what is in use goes on");
    drop(chan);
    until(async || Ok(at.broker().connection_count() == 0)).await
}

async fn nothing_is_dialled_for_a_call_that_was_dropped(at: Place) -> Outcome {
    let pool = Arc::new(ChanPool::publishing(at.config()).channels(1).build()?);
    for polls in 1..6 {
        let mut getting = Box::pin(pool.get());
        for _ in 0..polls {
            if !is_pending(&mut getting).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(getting);
    }
    assert_eq!((pool.status().waiting, pool.status().in_use), (0, 0));
    drop(pool.get().await?);
    assert_eq!(left(&pool), 0);
    pool.close().await;
    until(async || Ok(at.broker().connection_count() == 0)).await
}

/// Channels that the pool counts on its connections beside those it has.
fn left<M: PoolMode, P: Purpose>(pool: &ChanPool<M, P>) -> usize {
    let status = pool.status();
    let placed: usize = status.connections.iter().map(|connection| connection.channels).sum();
    placed - status.channels
}
