//! The legal twin of row 20.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("hopmq.misuse.row20")).await?;
    chan.delete_queue(&inbox).if_unused().if_empty().await?;
    let inbox = chan.declare(Queue::quorum("hopmq.misuse.row20.quorum")).await?;
    chan.delete_queue(&inbox).await?;
    Ok(())
}
