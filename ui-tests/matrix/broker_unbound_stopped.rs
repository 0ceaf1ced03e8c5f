//! A `Broker<Unbound>` has no `stopped`: it takes a `Broker<Draining>`.

use std::time::Duration;

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
}

fn main() {}
