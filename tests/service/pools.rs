//! Pools give channels in their mode, take them back, and keep none that is no good.

use std::time::Duration;

use hopmq::{
    Error, Exchange, Queue,
    exchange::DefaultExchange,
    service::pool::{ChanPool, PoolError},
    wire::ReplyCode,
};

use crate::place::{Outcome, Place, default_exchange, is_pending, until};

on_both_brokers!(
    a_channel_comes_back_in_its_mode,
    a_call_waits_for_a_channel_and_not_for_ever,
    channels_are_spread_over_as_many_connections_as_they_take,
    an_exception_on_one_channel_leaves_the_others_untouched,
    a_transaction_that_was_left_open_is_rolled_back,
    a_channel_that_is_still_consumed_from_is_not_given_out_again,
    what_is_not_used_for_long_is_closed,
    what_is_too_old_is_not_given_out_again,
    many_tasks_share_few_channels,
    a_closed_pool_gives_nothing_and_leaves_nothing,
    a_channel_that_does_not_come_back_ends_with_its_pool,
    checks_go_on_by_themselves_and_find_nothing_wrong,
);

fn default() -> Exchange<DefaultExchange> {
    default_exchange()
}

async fn a_channel_comes_back_in_its_mode(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).build()?;
    assert_eq!(pool.status().connections.len(), 0, "nothing is dialled before it is needed");
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    drop(chan);
    for _ in 0..3 {
        let chan = pool.get().await?;
        let confirm = chan.publish(&default(), &queue, b"x").mandatory().await?;
        drop(chan);
        // It is confirmed although the channel is back.
        confirm.await?;
    }
    let status = pool.status();
    assert_eq!((status.created, status.channels, status.in_use, status.available), (1, 1, 0, 1));
    assert_eq!(pool.get().await?.counts(&queue).await?.messages, 3);
    pool.close().await;
    Ok(())
}

async fn a_call_waits_for_a_channel_and_not_for_ever(at: Place) -> Outcome {
    let pool = ChanPool::consuming(at.config()).connections(1).channels_per_connection(1);
    let impatient = pool.wait_at_most(Duration::from_millis(50)).build()?;
    // Where not even the first is there in time, that is what the error says.
    let error = match impatient.get().await {
        Ok(_held) => impatient.get().await.map(drop).unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, PoolError::Timeout { max: 1, .. }), "{error}");

    let pool = ChanPool::consuming(at.config()).connections(1).channels(1).build()?;
    let chan = pool.get().await?;
    let mut waiting = Box::pin(pool.get());
    assert!(is_pending(&mut waiting).await);
    assert_eq!(pool.status().waiting, 1);
    drop(chan);
    drop(waiting.await?);
    assert_eq!(pool.status().created, 1, "it is the same channel");
    impatient.close().await;
    pool.close().await;
    Ok(())
}

async fn channels_are_spread_over_as_many_connections_as_they_take(at: Place) -> Outcome {
    let pool =
        ChanPool::consuming(at.config()).connections(2).channels_per_connection(2).build()?;
    let per_connection = || {
        let status = pool.status();
        status.connections.iter().map(|connection| connection.channels).collect::<Vec<_>>()
    };
    let (a, b) = (pool.get().await?, pool.get().await?);
    assert_eq!(per_connection(), [2]);
    let (c, d) = (pool.get().await?, pool.get().await?);
    assert_eq!(per_connection(), [2, 2]);
    assert!(is_pending(&mut Box::pin(pool.get())).await, "there is no fifth");
    drop((a, b, c, d));
    pool.close().await;
    Ok(())
}

async fn an_exception_on_one_channel_leaves_the_others_untouched(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).connections(1).build()?;
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    for _ in 0..5 {
        let failing = pool.get().await?;
        let confirm = chan.publish(&default(), &queue, b"x").mandatory().await?;
        let missing = failing.declare(Queue::classic(at.name("missing")).passive()).await;
        assert_eq!(missing.unwrap_err().reply_code(), Some(ReplyCode::NOT_FOUND));
        confirm.await?;
    }
    let status = pool.status();
    assert_eq!((status.created, status.connections_created), (6, 1));
    // The last one is found when somebody asks for a channel.
    drop(pool.get().await?);
    assert_eq!(pool.status().evicted.closed, 5);
    assert_eq!(chan.counts(&queue).await?.messages, 5);
    drop(chan);
    pool.close().await;
    Ok(())
}

async fn a_transaction_that_was_left_open_is_rolled_back(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).transactional().channels(1).build()?;
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.publish_in_tx(&default(), &queue, b"forgotten").await?;
    drop(chan);
    let chan = pool.get().await?;
    chan.publish_in_tx(&default(), &queue, b"meant").await?;
    chan.commit().await?;
    assert_eq!(chan.counts(&queue).await?.messages, 1);
    assert_eq!(pool.status().created, 1);
    drop(chan);
    pool.close().await;
    Ok(())
}

async fn a_channel_that_is_still_consumed_from_is_not_given_out_again(at: Place) -> Outcome {
    let pool = ChanPool::consuming(at.config()).channels(1).build()?;
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    drop(chan.consume(&queue).await?);
    drop(chan);
    let chan = pool.get().await?;
    assert_eq!(pool.status().created, 1, "a consumer that was dropped is none");
    let consumer = chan.consume(&queue).await?;
    drop(chan);
    let chan = pool.get().await?;
    assert_eq!((pool.status().created, pool.status().evicted.in_use), (2, 1));
    assert_eq!(chan.counts(&queue).await?.consumers, 1, "and it goes on");
    drop((consumer, chan));
    pool.close().await;
    Ok(())
}

async fn what_is_not_used_for_long_is_closed(at: Place) -> Outcome {
    let pool = ChanPool::consuming(at.config()).idle_timeout(Duration::ZERO).build()?;
    let chan = pool.get().await?;
    pool.check().await;
    assert_eq!(pool.status().evicted.total(), 0, "it is in use");
    drop(chan);
    pool.check().await;
    let status = pool.status();
    assert_eq!((status.channels, status.evicted.idle), (0, 1));
    assert_eq!((status.connections.len(), status.connections_evicted.idle), (0, 1));
    pool.close().await;
    Ok(())
}

async fn what_is_too_old_is_not_given_out_again(at: Place) -> Outcome {
    let age = Duration::from_millis(20);
    let pool = ChanPool::consuming(at.config()).max_lifetime(age).build()?;
    let chan = pool.get().await?;
    tokio::time::sleep(age).await;
    assert!(chan.as_chan().close_reason().is_none(), "what is in use stays");
    drop(chan);
    drop(pool.get().await?);
    let status = pool.status();
    assert_eq!((status.created, status.evicted.expired), (2, 1));
    assert_eq!((status.connections_created, status.connections_evicted.expired), (2, 1));
    pool.close().await;
    Ok(())
}

async fn many_tasks_share_few_channels(at: Place) -> Outcome {
    let pool =
        ChanPool::publishing(at.config()).connections(2).channels_per_connection(2).build()?;
    let queue = pool.get().await?.declare(Queue::classic(at.name("inbox"))).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60u8 {
        let (pool, queue) = (pool.clone(), queue.clone());
        tasks.spawn(async move {
            let chan = pool.get().await?;
            chan.publish(&default(), &queue, [number]).mandatory().await?.await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let status = pool.status();
    assert!(status.created <= 4 && status.connections_created <= 2, "{status:?}");
    assert_eq!((status.in_use, status.waiting, status.evicted.total()), (0, 0, 0));
    assert_eq!(pool.get().await?.counts(&queue).await?.messages, 60);
    pool.close().await;
    Ok(())
}

async fn a_closed_pool_gives_nothing_and_leaves_nothing(at: Place) -> Outcome {
    let pool = ChanPool::consuming(at.config()).channels(1).build()?;
    let chan = pool.get().await?;
    let (waiting, closing) = (pool.clone(), pool.clone());
    let waiting = tokio::spawn(async move { waiting.get().await.map(drop) });
    until(async || Ok(pool.status().waiting == 1)).await?;
    let closing = tokio::spawn(async move { closing.close().await });
    assert!(matches!(waiting.await?, Err(PoolError::Closed)));
    assert!(matches!(pool.get().await, Err(PoolError::Closed)));
    // What is in use goes on, and is waited for.
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    assert_eq!(chan.counts(&queue).await?.messages, 0);
    assert!(!closing.is_finished());
    drop(chan);
    let closed = closing.await?;
    assert_eq!((closed.channels_left, closed.connections_closed), (0, 1));
    assert!(pool.is_closed() && pool.status().connections.is_empty());
    Ok(())
}

async fn a_channel_that_does_not_come_back_ends_with_its_pool(at: Place) -> Outcome {
    let pool = ChanPool::consuming(at.config()).drain_within(Duration::from_millis(20)).build()?;
    let chan = pool.get().await?;
    assert_eq!(pool.close().await.channels_left, 1);
    assert!(matches!(chan.as_chan().close_reason(), Some(Error::Closed)));
    Ok(())
}

async fn checks_go_on_by_themselves_and_find_nothing_wrong(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).check_every(Duration::from_millis(5));
    let pool = pool.check_within(Duration::from_secs(60)).build()?;
    let (used, unused) = (pool.get().await?, pool.get().await?);
    drop(unused);
    until(async || {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(pool.status().checks >= 3)
    })
    .await?;
    let status = pool.status();
    assert_eq!((status.channels, status.evicted.total()), (2, 0));
    assert!(status.connections.iter().all(|connection| connection.round_trip.is_some()));
    drop(used);
    pool.close().await;
    Ok(())
}
