//! `listen` takes the `Broker<Unbound>` itself, so it is not called on one behind a reference.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Unbound>) {
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
