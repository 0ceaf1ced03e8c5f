//! A `Broker<Draining>` has no `drain`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.drain();
}

fn main() {}
