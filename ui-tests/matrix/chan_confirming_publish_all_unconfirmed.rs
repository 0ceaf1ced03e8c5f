//! A `Chan<Confirming>` has no `publish_all_unconfirmed`: it takes a `Chan<Open>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>, orders: &Exchange<Topic>) {
    let _ = chan.publish_all_unconfirmed(orders, "order.created", [b"12 apples"]).await;
}

fn main() {}
