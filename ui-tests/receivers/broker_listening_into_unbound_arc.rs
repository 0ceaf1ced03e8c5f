//! A `Broker<Listening>` in an `Arc` has no `into_unbound`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Listening>>) {
    let _ = broker.into_unbound();
}

fn main() {}
