//! `stopped` takes the `Broker<Draining>` itself, so it is not called on one behind a reference.

use std::time::Duration;

use hopmq::broker::*;

async fn wrong(broker: &Broker<Draining>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
}

fn main() {}
