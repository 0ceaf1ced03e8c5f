//! `listen` takes the `Broker<Unbound>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Unbound>>) {
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
