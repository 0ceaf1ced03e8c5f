//! The legal twin of row 7.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let transactional = chan.tx_select().await?;
    let confirming = conn.open_channel().await?.confirm_select().await?;
    transactional.close().await?;
    confirming.close().await?;
    Ok(())
}
