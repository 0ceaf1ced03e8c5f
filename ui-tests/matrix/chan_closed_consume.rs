//! A `Chan<Closed>` has no `consume`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>) {
    let _ = chan.consume(inbox).prefetch(100).await;
}

fn main() {}
