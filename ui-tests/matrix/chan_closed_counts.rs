//! A `Chan<Closed>` has no `counts`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>) {
    let _ = chan.counts(inbox).await;
}

fn main() {}
