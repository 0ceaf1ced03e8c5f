//! What a `Broker<Stopped>` can do.

use hopmq::broker::*;

fn stays(broker: &Broker<Stopped>) {
    let _ = broker.cut();
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

fn into_unbound(broker: Broker<Stopped>) -> Broker<Unbound> {
    broker.into_unbound()
}
