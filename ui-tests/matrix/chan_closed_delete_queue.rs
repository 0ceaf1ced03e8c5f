//! A `Chan<Closed>` has no `delete_queue`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>) {
    let _ = chan.delete_queue(inbox).await;
}

fn main() {}
