//! `into_unbound` takes the `Broker<Stopped>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Stopped>>) {
    let _ = broker.into_unbound();
}

fn main() {}
