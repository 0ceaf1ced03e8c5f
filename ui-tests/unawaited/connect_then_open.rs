//! A connection is used before its transition is awaited.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) -> Result<(), Error> {
    let conn = conn.connect();
    let chan = conn.open_channel().await?;
    drop(chan);
    Ok(())
}

fn main() {
    let _ = wrong;
}
