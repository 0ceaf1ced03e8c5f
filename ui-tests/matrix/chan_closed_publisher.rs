//! A `Chan<Closed>` has no `publisher`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.publisher();
}

fn main() {}
