//! A `Chan<Confirming>` in an `Arc` has no `publish_in_tx`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Confirming>>, orders: &Exchange<Topic>) {
    let _ = chan.publish_in_tx(orders, "order.created", b"12 apples").await;
}

fn main() {}
