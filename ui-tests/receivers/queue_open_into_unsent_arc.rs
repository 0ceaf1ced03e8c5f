//! A `MessageQueue<Open>` in an `Arc` has no `into_unsent`: the advice is the same as for an owned one.

use std::sync::Arc;

use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: Arc<MessageQueue<Open>>) {
    let _ = queue.into_unsent();
}

fn main() {}
