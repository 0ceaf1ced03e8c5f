use hopmq::{Open, peer::MessageQueue};

fn wrong(queue: MessageQueue<Open>) {
    let _ = queue.into_unsent();
}

fn main() {}
