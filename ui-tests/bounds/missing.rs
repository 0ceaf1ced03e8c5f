//! A function for channels of any mode says in a bound what it needs of them.

use hopmq::*;

async fn wrong<S: ChanState>(chan: &Chan<S>, orders: &Exchange<Topic>) {
    let _ = chan.publish(orders, "order.created", b"12 apples").await;
}

fn main() {}
