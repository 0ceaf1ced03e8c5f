//! The legal twin of row 5.

use hopmq::{Batch, Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    for body in [b"one", b"two"] {
        chan.publish_unconfirmed(&Exchange::default_exchange(), &inbox, body).await?;
    }
    let mut deliveries = chan.consume(&inbox).await?;
    let mut batch = Batch::new();
    while batch.len() < 2 {
        batch.push(deliveries.next().await.ok_or("ended")??);
    }
    batch.ack()?;
    Ok(())
}
