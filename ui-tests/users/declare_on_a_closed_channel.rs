//! A bound of the service's own asks for an open channel, and its error says how to get one.

#[path = "../../examples/ordered_setup/service.rs"]
mod service;

use hopmq::{Chan, Closed};
use service::Topology;

async fn wrong(chan: Chan<Closed>) {
    let _ = Topology::declare(&chan).await;
}

fn main() {}
