//! `listen` takes the `Broker<Unbound>`: what comes of it is used from then on.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.listen("127.0.0.1:0").await;
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
