//! `into_unbound` takes the `Broker<Stopped>` itself, so it is not called on one behind a reference.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Stopped>) {
    let _ = broker.into_unbound();
}

fn main() {}
