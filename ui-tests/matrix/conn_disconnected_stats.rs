//! A `Conn<Disconnected>` has no `stats`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.stats();
}

fn main() {}
