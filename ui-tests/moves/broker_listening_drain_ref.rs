//! `drain` takes the `Broker<Listening>` itself, so it is not called on one behind a reference.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Listening>) {
    let _ = broker.drain();
}

fn main() {}
