//! The legal twin of row 8.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let chan = chan.tx_select().await?;
    chan.commit().await?;
    chan.rollback().await?;
    Ok(())
}
