//! A `Chan<Closed>` behind a reference has no `confirm_select`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>) {
    let _ = chan.confirm_select().await;
}

fn main() {}
