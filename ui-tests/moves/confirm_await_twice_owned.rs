//! A publish has one outcome, and one future of it.

use hopmq::*;

async fn wrong(confirm: Confirm) {
    let _ = confirm.await;
    let _ = confirm.await;
}

fn main() {}
