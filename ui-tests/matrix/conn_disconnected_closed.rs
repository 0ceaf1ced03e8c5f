//! A `Conn<Disconnected>` has no `closed`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.closed().await;
}

fn main() {}
