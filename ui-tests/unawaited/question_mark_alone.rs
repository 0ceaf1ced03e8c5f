//! A call is asked for its outcome before it is awaited.

use hopmq::*;

async fn wrong(conn: Conn<Connected>) -> Result<(), Error> {
    let chan = conn.open_channel()?;
    drop(chan);
    Ok(())
}

fn main() {
    let _ = wrong;
}
