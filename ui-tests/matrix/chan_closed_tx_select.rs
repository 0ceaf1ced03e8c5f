//! A `Chan<Closed>` has no `tx_select`: it takes a `Chan<Open>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.tx_select().await;
}

fn main() {}
