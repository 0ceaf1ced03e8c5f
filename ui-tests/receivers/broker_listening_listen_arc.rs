//! A `Broker<Listening>` in an `Arc` has no `listen`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Listening>>) {
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
