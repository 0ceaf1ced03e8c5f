//! What a `Chan<Confirming>` can do.

use hopmq::*;

async fn stays(chan: &Chan<Confirming>, inbox: &Queue<Quorum>, orders: &Exchange<Topic>) {
    let _ = chan.declare(Queue::quorum("inbox")).await;
    let _ = chan.bind(inbox, orders, "order.*").await;
    let _ = chan.unbind(inbox, orders, "order.*").await;
    let _ = chan.delete_exchange(orders).await;
    let _ = chan.delete_queue(inbox).await;
    let _ = chan.counts(inbox).await;
    let _ = chan.purge(inbox).await;
    let _ = chan.consume(inbox).prefetch(100).await;
    let _ = chan.get(inbox).await;
    let _ = chan.publish(orders, "order.created", b"12 apples").await;
    let _ = chan.publish_all(orders, "order.created", [b"12 apples"]).await;
    let _ = chan.publisher().publish(orders, "order.created", b"12 apples").await;
}

async fn rpc_client(chan: Chan<Confirming>) -> Option<RpcClient> {
    chan.rpc_client().await.ok()
}

async fn close(chan: Chan<Confirming>) -> Option<Chan<Closed>> {
    chan.close().await.ok()
}
