//! A delivery is settled once.

use hopmq::*;

async fn wrong(delivery: Delivery) {
    let _ = delivery.requeue();
    let _ = delivery.ack();
}

fn main() {}
