//! A `Broker<Stopped>` has no `addresses`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.addresses();
}

fn main() {}
