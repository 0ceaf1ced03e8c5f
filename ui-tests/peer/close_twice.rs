use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Open>) {
    let _ = queue.close().await.close().await;
}

fn main() {}
