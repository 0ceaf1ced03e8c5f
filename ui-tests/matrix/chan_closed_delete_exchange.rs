//! A `Chan<Closed>` has no `delete_exchange`: it takes a `Chan<Open>` or `Chan<Confirming>` or `Chan<Transactional>`.

use hopmq::*;

async fn wrong(chan: Chan<Closed>, orders: &Exchange<Topic>) {
    let _ = chan.delete_exchange(orders).await;
}

fn main() {}
