//! The legal twin of row 50.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let conn = conn.close().await?;
    let conn = conn.connect().await?;
    conn.close().await?;
    Ok(())
}
