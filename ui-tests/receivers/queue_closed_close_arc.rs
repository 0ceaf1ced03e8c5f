//! A `MessageQueue<Closed>` in an `Arc` has no `close`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: Arc<MessageQueue<Closed>>) {
    let _ = queue.close().await;
}

fn main() {}
