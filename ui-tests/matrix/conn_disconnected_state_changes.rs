//! A `Conn<Disconnected>` has no `state_changes`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.state_changes();
}

fn main() {}
