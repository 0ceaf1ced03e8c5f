//! A `Conn<Disconnected>` has no `unblocked`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.unblocked();
}

fn main() {}
