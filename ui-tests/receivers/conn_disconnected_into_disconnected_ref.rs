//! A `Conn<Disconnected>` behind a reference has no `into_disconnected`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(conn: &Conn<Disconnected>) {
    let _ = conn.into_disconnected();
}

fn main() {}
