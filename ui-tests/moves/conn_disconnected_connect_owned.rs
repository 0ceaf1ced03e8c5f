//! `connect` takes the `Conn<Disconnected>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.connect().await;
    let _ = conn.config();
}

fn main() {}
