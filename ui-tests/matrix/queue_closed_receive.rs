//! A `MessageQueue<Closed>` has no `receive`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.receive().await;
}

fn main() {}
