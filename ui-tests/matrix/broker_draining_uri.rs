//! A `Broker<Draining>` has no `uri`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.uri();
}

fn main() {}
