//! Pools of channels: a channel that nobody got any more is there for the next.

use std::{sync::Arc, time::Duration};

use hopmq::{
    Queue,
    service::{health::Health, metrics::PoolReporter, pool::ChanPool},
};

use super::Point;
use crate::place::{Outcome, Place, default_exchange};

dropped_at_each_point!(
    on_both_brokers:
    getting_a_channel,
    waiting_for_a_channel,
    checking_a_pool,
    closing_a_pool,
    reporting_a_pool,
    checking_health,
);

async fn pool(at: &Place) -> Outcome<ChanPool> {
    Ok(ChanPool::publishing(at.config()).connections(1).channels_per_connection(1).build()?)
}

/// The one channel can be had, and works.
async fn works(pool: &ChanPool) -> Outcome {
    let chan = pool.get().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    chan.publish(&default_exchange(), &queue, b"works").mandatory().await?.await?;
    Ok(())
}

async fn getting_a_channel(at: Place) -> Outcome {
    for point in Point::all() {
        let pool = pool(&at).await?;
        let got = point.reach(pool.get()).await;
        let done = got.transpose()?.is_some();
        works(&pool).await?;
        pool.close().await;
        if done {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_a_channel(at: Place) -> Outcome {
    let pool = pool(&at).await?;
    for _ in 0..3 {
        let only = pool.get().await?;
        assert!(Point { polls: 1, woken: false }.reach(pool.get()).await.is_none());
        drop(only);
        works(&pool).await?;
    }
    assert_eq!(pool.status().waiting, 0);
    Ok(())
}

async fn checking_a_pool(at: Place) -> Outcome {
    let pool = pool(&at).await?;
    works(&pool).await?;
    for point in Point::all() {
        let checked = point.reach(pool.check()).await;
        works(&pool).await?;
        if checked.is_some() {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn closing_a_pool(at: Place) -> Outcome {
    for point in Point::all() {
        let pool = pool(&at).await?;
        works(&pool).await?;
        let closed = point.reach(pool.close()).await;
        if closed.is_some() {
            assert!(pool.get().await.is_err(), "it is closed");
            return Ok(());
        }
        // Whoever asks again is told that it is closed, or closes it.
        if point.polls > 0 {
            pool.close().await;
            assert!(pool.get().await.is_err(), "it is closed");
        }
    }
    Err("it never ends".into())
}

async fn reporting_a_pool(at: Place) -> Outcome {
    let pool = pool(&at).await?;
    for point in Point::all().take(5) {
        let reporter = PoolReporter::new(&pool, "ours").every(Duration::from_millis(1));
        assert!(point.reach(reporter.run()).await.is_none(), "it ends with the pool");
        works(&pool).await?;
    }
    Ok(())
}

async fn checking_health(at: Place) -> Outcome {
    let (pool, conn) = (pool(&at).await?, Arc::new(at.conn().await?));
    let health = Health::builder().connection("conn", &conn).pool("pool", &pool).build();
    for point in Point::all() {
        let checked = point.reach(health.check()).await;
        works(&pool).await?;
        if let Some(report) = checked {
            assert!(report.is_ready() && health.check().await.is_ready(), "{report}");
            return Ok(());
        }
    }
    Err("it never ends".into())
}
