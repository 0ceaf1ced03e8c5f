//! The legal twin of row 39.

use hopmq::{Conn, Exchange, Message, Queue, Responder, Uri};

pub(crate) async fn run(uri: Uri) -> Result<(), Box<dyn std::error::Error>> {
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let squares = chan.declare(Queue::server_named()).await?;
    let responder = Responder::new(chan.consume(&squares).await?, chan.publisher());
    tokio::spawn(responder.serve(|request| async move {
        let number = request.body().into_bytes()[0];
        Message::new([number * number])
    }));
    let client = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
    let reply = client.call(&Exchange::default_exchange(), &squares, [7]).await?;
    assert_eq!(reply.body().into_bytes(), [49][..]);
    Ok(())
}
