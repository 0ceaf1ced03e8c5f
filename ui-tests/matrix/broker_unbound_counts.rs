//! A `Broker<Unbound>` has no `counts`: it takes a `Broker<Listening>`, `Broker<Draining>` or `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.counts();
}

fn main() {}
