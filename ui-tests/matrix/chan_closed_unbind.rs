//! A `Chan<Closed>` has no `unbind`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, inbox: &Queue<Quorum>, orders: &Exchange<Topic>) {
    let _ = chan.unbind(inbox, orders, "order.*").await;
}

fn main() {}
