//! A `Broker<Listening>` behind a reference has no `into_unbound`: the advice is the same as for an owned one.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Listening>) {
    let _ = broker.into_unbound();
}

fn main() {}
