//! The legal twin of row 47.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let closed = chan.close().await?;
    let chan = closed.reopen().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    drop(inbox);
    Ok(())
}
