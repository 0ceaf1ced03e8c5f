//! `rpc_client` takes the `Chan<Confirming>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(chan: &Chan<Confirming>) {
    let _ = chan.rpc_client().await;
}

fn main() {}
