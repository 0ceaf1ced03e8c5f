//! A `MessageQueue<Closed>` has no `abort`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.abort();
}

fn main() {}
