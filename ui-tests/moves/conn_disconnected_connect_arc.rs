//! `connect` takes the `Conn<Disconnected>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Disconnected>>) {
    let _ = conn.connect().await;
}

fn main() {}
