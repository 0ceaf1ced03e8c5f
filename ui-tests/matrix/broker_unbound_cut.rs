//! A `Broker<Unbound>` has no `cut`: it takes a `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.cut();
}

fn main() {}
