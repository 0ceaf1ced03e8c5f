//! A `Conn<Disconnected>` has no `into_disconnected`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.into_disconnected();
}

fn main() {}
