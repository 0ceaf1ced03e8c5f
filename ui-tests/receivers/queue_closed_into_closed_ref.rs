//! A `MessageQueue<Closed>` behind a reference has no `into_closed`: the advice is the same as for an owned one.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: &MessageQueue<Closed>) {
    let _ = queue.into_closed();
}

fn main() {}
