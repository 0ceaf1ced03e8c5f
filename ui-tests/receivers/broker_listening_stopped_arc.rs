//! A `Broker<Listening>` in an `Arc` has no `stopped`: the advice is the same as for an owned one.

use std::{sync::Arc, time::Duration};

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Listening>>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
}

fn main() {}
