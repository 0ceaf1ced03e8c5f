//! The legal twin of row 2.

use hopmq::{Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    chan.publish_unconfirmed(&default, &inbox, b"hello").await?;
    let delivery = chan.get(&inbox).await?.ok_or("nothing there")?;
    // From wherever: the delivery knows its channel.
    tokio::spawn(async move { delivery.ack() }).await??;
    Ok(())
}
