//! The legal twin of row 22.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("hopmq.misuse.row22").exclusive()).await?;
    chan.delete_queue(&inbox).await?;
    Ok(())
}
