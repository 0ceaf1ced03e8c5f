//! What a `Chan<Transactional>` can do.

use hopmq::*;

async fn stays(chan: &Chan<Transactional>, inbox: &Queue<Quorum>, orders: &Exchange<Topic>) {
    let _ = chan.declare(Queue::quorum("inbox")).await;
    let _ = chan.bind(inbox, orders, "order.*").await;
    let _ = chan.unbind(inbox, orders, "order.*").await;
    let _ = chan.delete_exchange(orders).await;
    let _ = chan.delete_queue(inbox).await;
    let _ = chan.counts(inbox).await;
    let _ = chan.purge(inbox).await;
    let _ = chan.consume(inbox).prefetch(100).await;
    let _ = chan.get(inbox).await;
    let _ = chan.returns().next().await;
    let _ = chan.publish_in_tx(orders, "order.created", b"12 apples").await;
    let _ = chan.publish_all_in_tx(orders, "order.created", [b"12 apples"]).await;
    let _ = chan.commit().await;
    let _ = chan.rollback().await;
}

async fn close(chan: Chan<Transactional>) -> Option<Chan<Closed>> {
    chan.close().await.ok()
}
