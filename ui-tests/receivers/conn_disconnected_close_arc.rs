//! A `Conn<Disconnected>` in an `Arc` has no `close`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Disconnected>>) {
    let _ = conn.close().await;
}

fn main() {}
