//! A `Chan<Transactional>` behind a reference has no `tx_select`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Transactional>) {
    let _ = chan.tx_select().await;
}

fn main() {}
