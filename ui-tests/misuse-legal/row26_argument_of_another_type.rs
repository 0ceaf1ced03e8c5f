//! The legal twin of row 26.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::quorum("hopmq.misuse.row26").delivery_limit(5)).await?;
    let urgent = chan.declare(Queue::classic("hopmq.misuse.row26.urgent").max_priority(10)).await?;
    chan.delete_queue(&inbox).await?;
    chan.delete_queue(&urgent).await?;
    Ok(())
}
