use std::sync::Arc;

use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: Arc<MessageQueue<Open>>) {
    let _ = queue.close().await;
}

fn main() {}
