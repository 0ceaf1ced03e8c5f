//! `drain` takes the `Broker<Listening>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Listening>>) {
    let _ = broker.drain();
}

fn main() {}
