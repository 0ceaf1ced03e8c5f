//! A `Broker<Unbound>` behind a reference has no `stopped`: the advice is the same as for an owned one.

use std::time::Duration;

use hopmq::broker::*;

async fn wrong(broker: &Broker<Unbound>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
}

fn main() {}
