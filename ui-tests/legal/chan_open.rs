//! What a `Chan<Open>` can do.

use hopmq::*;

async fn stays(chan: &Chan<Open>, inbox: &Queue<Quorum>, orders: &Exchange<Topic>) {
    let _ = chan.declare(Queue::quorum("inbox")).await;
    let _ = chan.bind(inbox, orders, "order.*").await;
    let _ = chan.unbind(inbox, orders, "order.*").await;
    let _ = chan.delete_exchange(orders).await;
    let _ = chan.delete_queue(inbox).await;
    let _ = chan.counts(inbox).await;
    let _ = chan.purge(inbox).await;
    let _ = chan.consume(inbox).prefetch(100).await;
    let _ = chan.get(inbox).await;
    let _ = chan.publish_unconfirmed(orders, "order.created", b"12 apples").await;
    let _ = chan.publish_all_unconfirmed(orders, "order.created", [b"12 apples"]).await;
    let _ = chan.returns().next().await;
}

async fn confirm_select(chan: Chan<Open>) -> Option<Chan<Confirming>> {
    chan.confirm_select().await.ok()
}

async fn tx_select(chan: Chan<Open>) -> Option<Chan<Transactional>> {
    chan.tx_select().await.ok()
}

async fn close(chan: Chan<Open>) -> Option<Chan<Closed>> {
    chan.close().await.ok()
}
