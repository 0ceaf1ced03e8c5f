//! The legal twin of row 45.

use hopmq::{Conn, Exchange, Message, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    chan.publish_unconfirmed(&default, &inbox, b"hello").await?;
    let message = Message::text("one").app_id("billing").header("customer", "bob");
    chan.publish_unconfirmed(&default, &inbox, message).await?;
    chan.get(&inbox).await?.ok_or("nothing there")?.ack()?;
    Ok(())
}
