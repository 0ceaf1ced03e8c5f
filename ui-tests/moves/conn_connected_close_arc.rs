//! `close` takes the `Conn<Connected>` itself, so it is not called on one in an `Arc`.

use std::sync::Arc;

use hopmq::*;

async fn wrong(conn: Arc<Conn<Connected>>) {
    let _ = conn.close().await;
}

fn main() {}
