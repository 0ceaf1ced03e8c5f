//! A `Chan<Open>` in an `Arc` has no `publish`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Open>>, orders: &Exchange<Topic>) {
    let _ = chan.publish(orders, "order.created", b"12 apples").await;
}

fn main() {}
