//! `into_disconnected` takes the `Conn<Connected>` itself, so it is not called on one behind a reference.

use hopmq::*;

async fn wrong(conn: &Conn<Connected>) {
    let _ = conn.into_disconnected();
}

fn main() {}
