//! `stopped` takes the `Broker<Draining>`: what comes of it is used from then on.

use std::time::Duration;

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
    let _ = broker.stored();
}

fn main() {}
