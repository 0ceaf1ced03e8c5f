//! A `Broker<Unbound>` has no `messages`: it takes a `Broker<Listening>`, `Broker<Draining>` or `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.messages("/", "inbox", 10);
}

fn main() {}
