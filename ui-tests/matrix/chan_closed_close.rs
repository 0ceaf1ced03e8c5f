//! A `Chan<Closed>` has no `close`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.close().await;
}

fn main() {}
