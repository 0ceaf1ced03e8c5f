//! A `Broker<Stopped>` in an `Arc` has no `faults`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Stopped>>) {
    let _ = broker.faults();
}

fn main() {}
