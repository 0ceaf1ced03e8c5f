//! A `Conn<Connected>` in an `Arc` has no `connect`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Connected>>) {
    let _ = conn.connect().await;
}

fn main() {}
