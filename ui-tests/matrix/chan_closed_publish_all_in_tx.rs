//! A `Chan<Closed>` has no `publish_all_in_tx`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, orders: &Exchange<Topic>) {
    let _ = chan.publish_all_in_tx(orders, "order.created", [b"12 apples"]).await;
}

fn main() {}
