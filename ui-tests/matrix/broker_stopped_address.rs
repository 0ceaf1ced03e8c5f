//! A `Broker<Stopped>` has no `address`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.address();
}

fn main() {}
