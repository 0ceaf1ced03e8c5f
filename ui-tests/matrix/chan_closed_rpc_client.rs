//! A `Chan<Closed>` has no `rpc_client`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.rpc_client().await;
}

fn main() {}
