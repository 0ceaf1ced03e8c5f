//! A delivery that was taken apart is settled through its receipt.

use hopmq::*;

async fn wrong(delivery: Delivery) {
    let _ = delivery.into_parts();
    let _ = delivery.ack();
}

fn main() {}
