//! A `Conn<Disconnected>` has no `block_reason`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.block_reason();
}

fn main() {}
