//! A `Broker<Stopped>` has no `uri`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.uri();
}

fn main() {}
