//! A `MessageQueue<Closed>` has no `sender`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.sender();
}

fn main() {}
