//! A `Conn<Disconnected>` has no `close_reason`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.close_reason();
}

fn main() {}
