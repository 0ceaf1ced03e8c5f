//! A `Broker<Listening>` has no `into_unbound`: it takes a `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Listening>) {
    let _ = broker.into_unbound();
}

fn main() {}
