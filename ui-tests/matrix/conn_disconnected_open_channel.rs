//! A `Conn<Disconnected>` has no `open_channel`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.open_channel().await;
}

fn main() {}
