//! The legal twin of row 36.

use hopmq::{Conn, Exchange, Match, Queue, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let reports = Exchange::amq_headers();
    chan.bind(&inbox, &reports, Match::all([("format", "pdf")])).await?;
    chan.bind(&inbox, &reports, Match::any([("format", "pdf")]).header("size", 4)).await?;
    Ok(())
}
