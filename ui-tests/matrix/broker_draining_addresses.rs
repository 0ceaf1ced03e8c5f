//! A `Broker<Draining>` has no `addresses`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.addresses();
}

fn main() {}
