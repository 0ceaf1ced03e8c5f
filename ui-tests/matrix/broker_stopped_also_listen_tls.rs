//! A `Broker<Stopped>` has no `also_listen_tls`: it takes a `Broker<Listening>`.

use hopmq::broker::*;

async fn wrong(broker: Broker<Stopped>, tls: ServerTls) {
    let _ = broker.also_listen_tls("127.0.0.1:0", tls).await;
}

fn main() {}
