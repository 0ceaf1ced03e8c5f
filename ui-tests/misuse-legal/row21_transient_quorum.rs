//! The legal twin of row 21.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::quorum("hopmq.misuse.row21")).await?;
    chan.delete_queue(&inbox).await?;
    Ok(())
}
