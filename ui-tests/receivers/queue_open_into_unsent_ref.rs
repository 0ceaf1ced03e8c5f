//! A `MessageQueue<Open>` behind a reference has no `into_unsent`: the advice is the same as for an owned one.

use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: &MessageQueue<Open>) {
    let _ = queue.into_unsent();
}

fn main() {}
