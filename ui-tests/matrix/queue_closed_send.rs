//! A `MessageQueue<Closed>` has no `send`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.send(b"late").await;
}

fn main() {}
