//! A `MessageQueue<Closed>` has no `unconfirmed`: it takes a `MessageQueue<Open>`.

use hopmq::{Closed, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Closed>) {
    let _ = queue.unconfirmed();
}

fn main() {}
