//! The legal twin of row 30.

use hopmq::{Conn, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    chan.bind(&inbox, &Exchange::amq_topic(), "hopmq.misuse.#").await?;
    let deliveries = chan.consume(&inbox).await?;
    drop(deliveries);
    Ok(())
}
