//! A `Broker<Unbound>` has no `uri`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.uri();
}

fn main() {}
