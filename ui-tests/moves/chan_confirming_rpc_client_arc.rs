//! `rpc_client` takes the `Chan<Confirming>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Confirming>>) {
    let _ = chan.rpc_client().await;
}

fn main() {}
