//! A `Chan<Open>` behind a reference has no `publish`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Open>, orders: &Exchange<Topic>) {
    let _ = chan.publish(orders, "order.created", b"12 apples").await;
}

fn main() {}
