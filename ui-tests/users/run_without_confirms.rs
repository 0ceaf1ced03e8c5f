//! The service is not started with a publisher that nobody answers.

#[path = "../../examples/ordered_setup/service.rs"]
mod service;

use hopmq::{Chan, Open};
use service::{Topology, run};

async fn wrong(topology: Topology, publishing: Chan<Open>, consuming: Chan<Open>) {
    let _ = run(topology, publishing.publisher(), consuming, 1).await;
}

fn main() {}
