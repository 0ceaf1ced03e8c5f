//! The legal twin of row 38.

use hopmq::{Conn, Exchange, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let orders = chan.declare(Exchange::topic("hopmq.misuse.row38")).await?;
    chan.delete_exchange(&orders).await?;
    Ok(())
}
