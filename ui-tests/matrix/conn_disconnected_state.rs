//! A `Conn<Disconnected>` has no `state`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.state();
}

fn main() {}
