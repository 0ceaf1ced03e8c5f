//! The legal twin of row 37.

use hopmq::{Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    chan.bind(&inbox, &Exchange::amq_fanout(), ()).await?;
    chan.bind(&inbox, &Exchange::amq_topic(), "sport.*").await?;
    Ok(())
}
