//! A `Conn<Disconnected>` in an `Arc` has no `into_disconnected`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Disconnected>>) {
    let _ = conn.into_disconnected();
}

fn main() {}
