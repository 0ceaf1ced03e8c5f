//! What a `MessageQueue<Open>` can do.

use hopmq::{Closed, Open, peer::MessageQueue};

async fn stays(queue: &MessageQueue<Open>) {
    let _ = queue.send(b"m").await;
    let _ = queue.receive().await;
    let _ = queue.unconfirmed();
    let _ = queue.waiting();
    let _ = queue.sender();
    let _ = queue.ended().await;
}

async fn close(queue: MessageQueue<Open>) -> MessageQueue<Closed> {
    queue.close().await
}

fn abort(queue: MessageQueue<Open>) -> MessageQueue<Closed> {
    queue.abort()
}

fn into_closed(queue: MessageQueue<Open>) -> Result<MessageQueue<Closed>, MessageQueue<Open>> {
    queue.into_closed()
}
