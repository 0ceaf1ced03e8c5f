//! A `Chan<Transactional>` has no `publish_all`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Transactional>, orders: &Exchange<Topic>) {
    let _ = chan.publish_all(orders, "order.created", [b"12 apples"]).await;
}

fn main() {}
