//! A `Conn<Disconnected>` has no `close`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.close().await;
}

fn main() {}
