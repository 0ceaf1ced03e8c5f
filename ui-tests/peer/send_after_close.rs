use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Open>) {
    let closed = queue.close().await;
    let _ = queue.send(b"late").await;
    drop(closed);
}

fn main() {}
