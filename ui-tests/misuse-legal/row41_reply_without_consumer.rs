//! The legal twin of row 41.

use hopmq::{Conn, Exchange, Message, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    chan.publish_unconfirmed(&default, &inbox, b"hello").await?;
    let answers = chan.declare(Queue::server_named()).await?;
    let question = Message::text("6 * 7").reply_to(&answers);
    chan.publish_unconfirmed(&default, &inbox, question).await?;
    chan.get(&inbox).await?.ok_or("nothing there")?.ack()?;
    Ok(())
}
