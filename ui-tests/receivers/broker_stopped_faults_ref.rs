//! A `Broker<Stopped>` behind a reference has no `faults`: the advice is the same as for an owned one.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Stopped>) {
    let _ = broker.faults();
}

fn main() {}
