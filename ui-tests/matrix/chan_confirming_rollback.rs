//! A `Chan<Confirming>` has no `rollback`: it takes a `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>) {
    let _ = chan.rollback().await;
}

fn main() {}
