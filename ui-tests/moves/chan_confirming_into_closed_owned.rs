//! `into_closed` takes the `Chan<Confirming>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>, inbox: &Queue<Quorum>) {
    let _ = chan.into_closed();
    let _ = chan.counts(inbox).await;
}

fn main() {}
