//! A `Chan<Transactional>` has no `reopen`: it takes a `Chan<Closed>`.

use hopmq::*;

async fn wrong(chan: Chan<Transactional>) {
    let _ = chan.reopen().await;
}

fn main() {}
