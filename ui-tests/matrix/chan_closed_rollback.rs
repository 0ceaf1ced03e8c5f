//! A `Chan<Closed>` has no `rollback`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.rollback().await;
}

fn main() {}
