//! A `MessageQueue<Closed>` has no `close`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.close().await;
}

fn main() {}
