//! The legal twin of row 9.

use hopmq::{Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let chan = chan.confirm_select().await?;
    let default = Exchange::default_exchange();
    let confirm = chan.publish(&default, &inbox, b"one").await?;
    confirm.await?;
    Ok(())
}
