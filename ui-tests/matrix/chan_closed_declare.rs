//! A `Chan<Closed>` has no `declare`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) {
    let _ = chan.declare(Queue::quorum("inbox")).await;
}

fn main() {}
