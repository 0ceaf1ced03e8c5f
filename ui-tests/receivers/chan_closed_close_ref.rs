//! A `Chan<Closed>` behind a reference has no `close`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>) {
    let _ = chan.close().await;
}

fn main() {}
