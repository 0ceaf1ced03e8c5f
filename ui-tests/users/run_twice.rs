//! One setup is run once.

#[path = "../../examples/ordered_setup/service.rs"]
mod service;

use hopmq::{Chan, Open, Publisher};
use service::{Topology, run};

async fn wrong(topology: Topology, publisher: Publisher, chan: Chan<Open>, other: Chan<Open>) {
    let _ = run(topology, publisher.clone(), chan, 1).await;
    let _ = run(topology, publisher, other, 1).await;
}

fn main() {}
