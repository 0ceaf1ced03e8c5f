//! `close` takes the `Conn<Connected>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(conn: &Conn<Connected>) {
    let _ = conn.close().await;
}

fn main() {}
