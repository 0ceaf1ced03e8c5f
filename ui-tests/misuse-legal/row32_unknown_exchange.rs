//! The legal twin of row 32.

use hopmq::{Conn, Exchange, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let orders = chan.declare(Exchange::topic("hopmq.misuse.row32").auto_delete()).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    publisher.publish(&orders, "order.eu.created", b"one").await?.await?;
    chan.delete_exchange(&orders).await?;
    Ok(())
}
