//! A `Broker<Unbound>` has no `queue_depth`: it takes a `Broker<Listening>`, `Broker<Draining>` or `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.queue_depth("/", "inbox");
}

fn main() {}
