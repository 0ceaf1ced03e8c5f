//! Nobody makes up what only declaring gives.

#[path = "../../examples/ordered_setup/service.rs"]
mod service;

use hopmq::{Chan, Exchange, Open, Publisher, Queue};
use service::{Topology, run};

async fn wrong(publisher: Publisher, chan: Chan<Open>, inbox: Queue<hopmq::Classic>) {
    let topology = Topology { orders: Exchange::amq_topic(), unbilled: inbox };
    let _ = run(topology, publisher, chan, 1).await;
}

fn main() {}
