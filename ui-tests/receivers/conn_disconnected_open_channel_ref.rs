//! A `Conn<Disconnected>` behind a reference has no `open_channel`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(conn: &Conn<Disconnected>) {
    let _ = conn.open_channel().await;
}

fn main() {}
