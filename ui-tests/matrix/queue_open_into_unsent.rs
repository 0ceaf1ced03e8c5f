//! A `MessageQueue<Open>` has no `into_unsent`: it takes a `MessageQueue<Closed>`.

use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Open>) {
    let _ = queue.into_unsent();
}

fn main() {}
