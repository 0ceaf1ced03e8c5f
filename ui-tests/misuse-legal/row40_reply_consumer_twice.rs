//! The legal twin of row 40.

use hopmq::{Conn, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let first = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
    let second = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
    // The calls of one client are told apart by the client itself.
    let shared = first.clone();
    drop((first, shared, second));
    Ok(())
}
