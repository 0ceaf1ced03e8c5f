//! A `Chan<Closed>` has no `purge`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>) {
    let _ = chan.purge(inbox).await;
}

fn main() {}
