//! The legal twin of row 6.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let confirming = chan.confirm_select().await?;
    let transactional = conn.open_channel().await?.tx_select().await?;
    confirming.close().await?;
    transactional.close().await?;
    Ok(())
}
