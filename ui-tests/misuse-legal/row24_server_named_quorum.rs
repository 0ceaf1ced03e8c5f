//! The legal twin of row 24.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    assert!(inbox.is_server_named());
    Ok(())
}
