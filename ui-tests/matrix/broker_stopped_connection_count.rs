//! A `Broker<Stopped>` has no `connection_count`: it takes a `Broker<Listening>` or `Broker<Draining>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.connection_count();
}

fn main() {}
