//! What a `Conn<Disconnected>` can do.

use hopmq::*;

async fn connect(conn: Conn<Disconnected>) -> Option<Conn<Connected>> {
    conn.connect().await.ok()
}
