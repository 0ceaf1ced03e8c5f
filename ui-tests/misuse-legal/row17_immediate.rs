//! The legal twin of row 17.

use std::time::Duration;

use hopmq::{Conn, Exchange, Message, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let chan = chan.confirm_select().await?;
    let default = Exchange::default_exchange();
    let now_or_never = Message::text("one").expiration(Duration::ZERO);
    chan.publish(&default, &inbox, now_or_never).mandatory().await?.await?;
    Ok(())
}
