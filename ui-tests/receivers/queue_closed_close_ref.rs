//! A `MessageQueue<Closed>` behind a reference has no `close`: the advice is the same as for an owned one.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: &MessageQueue<Closed>) {
    let _ = queue.close().await;
}

fn main() {}
