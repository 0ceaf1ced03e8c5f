//! `tx_select` takes the `Chan<Open>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(chan: &Chan<Open>) {
    let _ = chan.tx_select().await;
}

fn main() {}
