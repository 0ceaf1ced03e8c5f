//! `stopped` takes the `Broker<Draining>` itself, so it is not called on one in an `Arc`.

use std::{sync::Arc, time::Duration};

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Draining>>) {
    let _ = broker.stopped(Duration::from_secs(5)).await;
}

fn main() {}
