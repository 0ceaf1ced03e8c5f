//! A `Conn<Disconnected>` behind a reference has no `close`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(conn: &Conn<Disconnected>) {
    let _ = conn.close().await;
}

fn main() {}
