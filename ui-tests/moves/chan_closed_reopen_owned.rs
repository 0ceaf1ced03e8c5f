//! `reopen` takes the `Chan<Closed>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.reopen().await;
    let _ = chan.close_reason();
}

fn main() {}
