//! `into_disconnected` takes the `Conn<Connected>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Connected>>) {
    let _ = conn.into_disconnected();
}

fn main() {}
