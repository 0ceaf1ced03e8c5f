//! A `Broker<Unbound>` has no `drain`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.drain();
}

fn main() {}
