//! `into_unbound` takes the `Broker<Stopped>`: what comes of it is used from then on.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>) {
    let _ = broker.into_unbound();
    let _ = broker.cut();
}

fn main() {}
