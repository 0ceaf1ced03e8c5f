//! A `MessageQueue<Closed>` has no `ended`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.ended().await;
}

fn main() {}
