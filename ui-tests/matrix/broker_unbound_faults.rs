//! A `Broker<Unbound>` has no `faults`: it takes a `Broker<Listening>` or `Broker<Draining>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.faults();
}

fn main() {}
