//! A `Chan<Closed>` behind a reference has no `publish_unconfirmed`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>, orders: &Exchange<Topic>) {
    let _ = chan.publish_unconfirmed(orders, "order.created", b"12 apples").await;
}

fn main() {}
