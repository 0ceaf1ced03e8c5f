//! The legal twin of row 13.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let declaration = Queue::quorum("hopmq.misuse.row13").single_active_consumer();
    let inbox = chan.declare(declaration).await?;
    let deliveries = chan.consume(&inbox).await?;
    drop(deliveries);
    chan.delete_queue(&inbox).await?;
    Ok(())
}
