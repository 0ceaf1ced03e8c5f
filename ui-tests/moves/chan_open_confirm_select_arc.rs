//! `confirm_select` takes the `Chan<Open>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Open>>) {
    let _ = chan.confirm_select().await;
}

fn main() {}
