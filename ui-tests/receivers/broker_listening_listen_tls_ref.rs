//! A `Broker<Listening>` behind a reference has no `listen_tls`: the advice is the same as for an owned one.

use hopmq::broker::*;

async fn wrong(broker: &Broker<Listening>, tls: ServerTls) {
    let _ = broker.listen_tls("127.0.0.1:0", tls).await;
}

fn main() {}
