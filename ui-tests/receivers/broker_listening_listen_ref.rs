//! A `Broker<Listening>` behind a reference has no `listen`: the advice is the same as for an owned one.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Listening>) {
    let _ = broker.listen("127.0.0.1:0").await;
}

fn main() {}
