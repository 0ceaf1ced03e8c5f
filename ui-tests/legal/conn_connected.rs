//! What a `Conn<Connected>` can do.

use hopmq::*;

async fn stays(conn: &Conn<Connected>) {
    let _ = conn.open_channel().await;
    let _ = conn.find(Queue::classic("inbox")).await;
    let _ = conn.closed().await;
    let _ = conn.close_reason();
    let _ = conn.state();
    let _ = conn.state_changes();
    let _ = conn.stats();
    let _ = conn.blocked().await;
    let _ = conn.unblocked().await;
    let _ = conn.block_reason();
    let _ = conn.server_properties();
}

async fn close(conn: Conn<Connected>) -> Option<Conn<Disconnected>> {
    conn.close().await.ok()
}

async fn into_disconnected(conn: Conn<Connected>) -> Option<Conn<Disconnected>> {
    conn.into_disconnected().ok()
}
