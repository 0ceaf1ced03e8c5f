//! A `Broker<Listening>` in an `Arc` has no `listen_tls`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::broker::*;

async fn wrong(broker: Arc<Broker<Listening>>, tls: ServerTls) {
    let _ = broker.listen_tls("127.0.0.1:0", tls).await;
}

fn main() {}
