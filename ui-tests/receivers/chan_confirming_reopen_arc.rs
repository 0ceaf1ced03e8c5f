//! A `Chan<Confirming>` in an `Arc` has no `reopen`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Confirming>>) {
    let _ = chan.reopen().await;
}

fn main() {}
