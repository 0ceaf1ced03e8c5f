//! What a `MessageQueue<Closed>` can do.

use hopmq::{
    Closed,
    peer::{MessageQueue, Unsent},
};

fn into_unsent(queue: MessageQueue<Closed>) -> Vec<Unsent> {
    queue.into_unsent()
}
