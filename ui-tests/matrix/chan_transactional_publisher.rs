//! A `Chan<Transactional>` has no `publisher`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Transactional>) {
    let _ = chan.publisher();
}

fn main() {}
