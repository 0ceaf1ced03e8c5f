//! A `Chan<Transactional>` has no `rpc_client`: it takes a `Chan<Confirming>`.

use hopmq::*;

async fn wrong(chan: Chan<Transactional>) {
    let _ = chan.rpc_client().await;
}

fn main() {}
