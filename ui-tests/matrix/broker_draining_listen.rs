//! A `Broker<Draining>` has no `listen`: it takes a `Broker<Unbound>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Draining>) {
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
