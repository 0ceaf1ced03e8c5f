//! `connect` takes the `Conn<Disconnected>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(conn: &Conn<Disconnected>) {
    let _ = conn.connect().await;
}

fn main() {}
