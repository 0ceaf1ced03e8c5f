//! A `Conn<Connected>` has no `connect`: it takes a `Conn<Disconnected>`.

use hopmq::*;

async fn wrong(conn: Conn<Connected>) {
    let _ = conn.connect().await;
}

fn main() {}
