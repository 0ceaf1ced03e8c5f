//! What a `Broker<Draining>` can do.

use std::time::Duration;

use hopmq::broker::*;

fn stays(broker: &Broker<Draining>) {
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

async fn stopped(broker: Broker<Draining>) -> Broker<Stopped> {
    broker.stopped(Duration::from_secs(5)).await
}
