//! A `Chan<Transactional>` in an `Arc` has no `confirm_select`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(chan: Arc<Chan<Transactional>>) {
    let _ = chan.confirm_select().await;
}

fn main() {}
