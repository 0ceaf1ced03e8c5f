//! The legal twin of row 25.

use hopmq::{Conn, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let replies = chan.declare(Queue::classic("hopmq.misuse.row25").exclusive()).await?;
    assert!(replies.is_exclusive());
    Ok(())
}
