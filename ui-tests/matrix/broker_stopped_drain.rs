//! A `Broker<Stopped>` has no `drain`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.drain();
}

fn main() {}
