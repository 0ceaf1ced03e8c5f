//! Whoever settles a receipt owns it, so it is not settled behind a reference.

use hopmq::*;

async fn wrong(receipt: &Receipt) {
    let _ = receipt.ack();
}

fn main() {}
