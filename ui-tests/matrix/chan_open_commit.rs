//! A `Chan<Open>` has no `commit`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    let _ = chan.commit().await;
}

fn main() {}
