//! A `Chan<Transactional>` in an `Arc` has no `publish_unconfirmed`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Transactional>>, orders: &Exchange<Topic>) {
    let _ = chan.publish_unconfirmed(orders, "order.created", b"12 apples").await;
}

fn main() {}
