//! The service is not started before its topology is declared: that takes an open channel.

#[path = "../../examples/ordered_setup/service.rs"]
mod service;

use hopmq::{Conn, Disconnected};
use service::Topology;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = Topology::declare(&conn.open_channel().await.unwrap()).await;
}

fn main() {}
