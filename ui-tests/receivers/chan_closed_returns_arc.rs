//! A `Chan<Closed>` in an `Arc` has no `returns`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Closed>>) {
    let _ = chan.returns().next().await;
}

fn main() {}
