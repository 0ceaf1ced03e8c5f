//! `close` takes the `Conn<Connected>`: what comes of it is used from then on.

use hopmq::*;

async fn wrong(conn: Conn<Connected>) {
    let _ = conn.close().await;
    let _ = conn.open_channel().await;
}

fn main() {}
