//! Row 49: a channel is opened before the connection. Elsewhere a run-time error, or a hang.

use hopmq::{Conn, Disconnected, Error};

async fn wrong(conn: Conn<Disconnected>) -> Result<(), Error> {
    let chan = conn.open_channel().await?;
    drop(chan);
    Ok(())
}

fn main() {
    let _ = wrong;
}
