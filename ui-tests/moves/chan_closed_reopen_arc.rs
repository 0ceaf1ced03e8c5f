//! `reopen` takes the `Chan<Closed>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Closed>>) {
    let _ = chan.reopen().await;
}

fn main() {}
