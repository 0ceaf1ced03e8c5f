//! A `MessageQueue<Closed>` has no `waiting`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.waiting();
}

fn main() {}
