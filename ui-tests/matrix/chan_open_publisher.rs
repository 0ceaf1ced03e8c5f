//! A `Chan<Open>` has no `publisher`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    let _ = chan.publisher();
}

fn main() {}
