//! A `Chan<Closed>` has no `commit`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.commit().await;
}

fn main() {}
