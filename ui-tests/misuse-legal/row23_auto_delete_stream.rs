//! The legal twin of row 23.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("hopmq.misuse.row23").auto_delete()).await?;
    chan.delete_queue(&inbox).await?;
    Ok(())
}
