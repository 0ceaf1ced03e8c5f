//! A `MessageQueue<Closed>` has no `into_closed`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.into_closed();
}

fn main() {}
