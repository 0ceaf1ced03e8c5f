//! A `MessageQueue<Closed>` behind a reference has no `send`: the advice is the same as for an owned one.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: &MessageQueue<Closed>) {
    let _ = queue.send(b"late").await;
}

fn main() {}
