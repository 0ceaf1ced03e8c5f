//! The legal twin of row 49.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri);
    let conn = conn.connect().await?;
    let chan = conn.open_channel().await?;
    chan.close().await?;
    Ok(())
}
