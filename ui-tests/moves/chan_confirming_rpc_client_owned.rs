//! `rpc_client` takes the `Chan<Confirming>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(chan: Chan<Confirming>, inbox: &Queue<Quorum>) {
    let _ = chan.rpc_client().await;
    let _ = chan.counts(inbox).await;
}

fn main() {}
