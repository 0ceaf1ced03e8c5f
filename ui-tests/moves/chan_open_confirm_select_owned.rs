//! `confirm_select` takes the `Chan<Open>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(chan: Chan<Open>, inbox: &Queue<Quorum>) {
    let _ = chan.confirm_select().await;
    let _ = chan.counts(inbox).await;
}

fn main() {}
