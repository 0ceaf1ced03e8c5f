//! A `Conn<Disconnected>` has no `blocked`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.blocked();
}

fn main() {}
