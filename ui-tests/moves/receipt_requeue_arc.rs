//! Whoever settles a receipt owns it, so it is not settled in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(receipt: Arc<Receipt>) {
    let _ = receipt.requeue();
}

fn main() {}
