//! A `Broker<Unbound>` has no `also_listen`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.also_listen("127.0.0.1:0").await;
}

fn main() {}
