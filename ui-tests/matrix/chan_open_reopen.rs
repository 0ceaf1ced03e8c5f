//! A `Chan<Open>` has no `reopen`: it takes a `Chan<Closed>`.

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    let _ = chan.reopen().await;
}

fn main() {}
