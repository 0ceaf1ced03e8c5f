//! The legal twin of row 28.

use hopmq::{Conn, DeadLetter, Exchange, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let dead = DeadLetter::to(&Exchange::amq_topic()).key("expired");
    let inbox =
        chan.declare(Queue::classic("hopmq.misuse.row28").exclusive().dead_letter(dead)).await?;
    drop(inbox);
    Ok(())
}
