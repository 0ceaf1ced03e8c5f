//! A `Chan<Confirming>` has no `reopen`: it takes a `Chan<Closed>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>) {
    let _ = chan.reopen().await;
}

fn main() {}
