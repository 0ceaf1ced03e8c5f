//! A `Chan<Closed>` has no `get`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>) {
    let _ = chan.get(inbox).await;
}

fn main() {}
