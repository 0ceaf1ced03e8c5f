//! `reopen` takes the `Chan<Closed>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>) {
    let _ = chan.reopen().await;
}

fn main() {}
