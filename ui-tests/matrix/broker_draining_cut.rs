//! A `Broker<Draining>` has no `cut`: it takes a `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.cut();
}

fn main() {}
