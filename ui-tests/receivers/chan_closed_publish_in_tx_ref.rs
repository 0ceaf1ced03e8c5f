//! A `Chan<Closed>` behind a reference has no `publish_in_tx`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>, orders: &Exchange<Topic>) {
    let _ = chan.publish_in_tx(orders, "order.created", b"12 apples").await;
}

fn main() {}
