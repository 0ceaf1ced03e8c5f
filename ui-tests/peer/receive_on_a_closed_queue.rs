use std::sync::Arc;

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: Arc<MessageQueue<Closed>>) {
    let _ = queue.receive().await;
}

fn main() {}
