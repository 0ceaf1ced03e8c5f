//! A `Broker<Draining>` has no `address`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.address();
}

fn main() {}
