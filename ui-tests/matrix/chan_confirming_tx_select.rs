//! A `Chan<Confirming>` has no `tx_select`: it takes a `Chan<Open>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>) {
    let _ = chan.tx_select().await;
}

fn main() {}
