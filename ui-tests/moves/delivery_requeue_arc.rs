//! Whoever settles a delivery owns it, so it is not settled in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(delivery: Arc<Delivery>) {
    let _ = delivery.requeue();
}

fn main() {}
