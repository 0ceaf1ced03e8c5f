//! A `Chan<Transactional>` behind a reference has no `publisher`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Transactional>) {
    let _ = chan.publisher();
}

fn main() {}
