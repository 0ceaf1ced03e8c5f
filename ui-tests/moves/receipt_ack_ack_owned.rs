//! A receipt is settled once.

use hopmq::*;

async fn wrong(receipt: Receipt) {
    let _ = receipt.ack();
    let _ = receipt.ack();
}

fn main() {}
