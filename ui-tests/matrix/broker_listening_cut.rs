//! A `Broker<Listening>` has no `cut`: it takes a `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Listening>) {
    let _ = broker.cut();
}

fn main() {}
