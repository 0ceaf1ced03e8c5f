//! A `Conn<Connected>` behind a reference has no `connect`: the advice is the same as for an owned one.

use hopmq::*;

async fn wrong(conn: &Conn<Connected>) {
    let _ = conn.connect().await;
}

fn main() {}
