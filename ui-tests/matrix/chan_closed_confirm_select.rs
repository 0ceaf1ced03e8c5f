//! A `Chan<Closed>` has no `confirm_select`: it takes a `Chan<Open>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.confirm_select().await;
}

fn main() {}
