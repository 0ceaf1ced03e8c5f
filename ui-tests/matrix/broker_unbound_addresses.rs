//! A `Broker<Unbound>` has no `addresses`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.addresses();
}

fn main() {}
