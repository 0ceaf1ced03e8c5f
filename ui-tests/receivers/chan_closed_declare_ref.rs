//! A `Chan<Closed>` behind a reference has no `declare`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(chan: &Chan<Closed>) {
    let _ = chan.declare(Queue::quorum("inbox")).await;
}

fn main() {}
