//! A `Chan<Closed>` has no `returns`: it takes a `Chan<Open>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.returns().next().await;
}

fn main() {}
