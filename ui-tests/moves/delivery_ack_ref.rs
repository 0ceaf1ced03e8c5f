//! Whoever settles a delivery owns it, so it is not settled behind a reference.

use hopmq::*;

async fn wrong(delivery: &Delivery) {
    let _ = delivery.ack();
}

fn main() {}
