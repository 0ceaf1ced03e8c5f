//! A `Broker<Listening>` has no `listen_tls`: it takes a `Broker<Unbound>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Listening>, tls: ServerTls) {
    let _ = broker.listen_tls("127.0.0.1:0", tls).await;
}

fn main() {}
