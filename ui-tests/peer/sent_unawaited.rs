#![deny(unused_must_use)]

use hopmq::{Open, peer::MessageQueue};

async fn wrong(queue: MessageQueue<Open>) -> Result<(), hopmq::peer::SendError> {
    queue.send(b"who knows").await?;
    Ok(())
}

fn main() {}
