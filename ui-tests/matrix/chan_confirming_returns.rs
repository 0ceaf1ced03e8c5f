//! A `Chan<Confirming>` has no `returns`: it takes a `Chan<Open>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>) {
    let _ = chan.returns().next().await;
}

fn main() {}
