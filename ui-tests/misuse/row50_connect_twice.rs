//! Row 50: a connection is connected twice. Elsewhere a run-time error.

use hopmq::{Conn, Disconnected, Error};

async fn wrong(conn: Conn<Disconnected>) -> Result<(), Error> {
    let conn = conn.connect().await?;
    let conn = conn.connect().await?;
    drop(conn);
    Ok(())
}

fn main() {
    let _ = wrong;
}
