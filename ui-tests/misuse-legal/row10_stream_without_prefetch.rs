//! The legal twin of row 10.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let log = chan.declare(Queue::stream("hopmq.misuse.row10")).await?;
    let deliveries = chan.consume(&log).prefetch(100).await?;
    drop(deliveries);
    chan.delete_queue(&log).await?;
    Ok(())
}
