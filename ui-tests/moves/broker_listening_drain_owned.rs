//! `drain` takes the `Broker<Listening>`: what comes of it is used from then on.

use hopmq::broker::*;

async fn wrong(broker: Broker<Listening>) {
    let _ = broker.drain();
    let _ = broker.uri();
}

fn main() {}
