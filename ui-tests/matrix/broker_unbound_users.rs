//! A `Broker<Unbound>` has no `users`: it takes a `Broker<Listening>`, `Broker<Draining>` or `Broker<Stopped>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Unbound>) {
    let _ = broker.users();
}

fn main() {}
