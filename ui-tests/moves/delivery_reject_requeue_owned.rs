//! A delivery is settled once.

use hopmq::*;

async fn wrong(delivery: Delivery) {
    let _ = delivery.reject();
    let _ = delivery.requeue();
}

fn main() {}
