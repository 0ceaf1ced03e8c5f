//! What a `Broker<Listening>` can do.

use hopmq::broker::*;

async fn stays(broker: &Broker<Listening>, tls: ServerTls) {
    let _ = broker.also_listen_tls("127.0.0.1:0", tls).await;
    let _ = broker.also_listen("127.0.0.1:0").await;
    let _ = broker.address();
    let _ = broker.addresses();
    let _ = broker.uri();
    let _ = broker.faults();
    let _ = broker.connection_count();
    let _ = broker.queue("/", "inbox");
    let _ = broker.queues("/");
    let _ = broker.messages("/", "inbox", 10);
    let _ = broker.queue_depth("/", "inbox");
    let _ = broker.unacked("/", "inbox");
    let _ = broker.consumers("/", "inbox");
    let _ = broker.bindings("/");
    let _ = broker.exchanges("/");
    let _ = broker.connections();
    let _ = broker.vhosts();
    let _ = broker.users();
    let _ = broker.stored();
    let _ = broker.counts();
}

fn drain(broker: Broker<Listening>) -> Broker<Draining> {
    broker.drain()
}
