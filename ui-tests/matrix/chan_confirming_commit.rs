//! A `Chan<Confirming>` has no `commit`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>) {
    let _ = chan.commit().await;
}

fn main() {}
