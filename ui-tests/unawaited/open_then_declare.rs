//! A channel is used before its opening is awaited.

use hopmq::*;

async fn wrong(conn: Conn<Connected>) -> Result<(), Error> {
    let chan = conn.open_channel();
    chan.declare(Queue::quorum("inbox")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
