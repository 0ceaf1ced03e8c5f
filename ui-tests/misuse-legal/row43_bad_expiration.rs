//! The legal twin of row 43.

use std::time::Duration;

use hopmq::{Conn, Exchange, Message, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    chan.publish_unconfirmed(&default, &inbox, b"hello").await?;
    let message = Message::text("one").expiration(Duration::from_secs(60));
    chan.publish_unconfirmed(&default, &inbox, message).await?;
    chan.get(&inbox).await?.ok_or("nothing there")?.ack()?;
    Ok(())
}
