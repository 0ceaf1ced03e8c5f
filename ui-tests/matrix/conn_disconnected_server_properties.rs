//! A `Conn<Disconnected>` has no `server_properties`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.server_properties();
}

fn main() {}
