//! A `Chan<Open>` has no `rollback`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    let _ = chan.rollback().await;
}

fn main() {}
