//! The legal twin of row 16.

use hopmq::{Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    chan.publish_unconfirmed(&default, &inbox, b"hello").await?;
    let mut deliveries = chan.consume(&inbox).prefetch(10).await?;
    deliveries.next().await.ok_or("ended")??.ack()?;
    Ok(())
}
