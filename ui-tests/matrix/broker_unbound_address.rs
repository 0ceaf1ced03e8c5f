//! A `Broker<Unbound>` has no `address`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.address();
}

fn main() {}
