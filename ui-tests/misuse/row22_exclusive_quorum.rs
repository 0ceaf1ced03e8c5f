//! Row 22: an exclusive quorum queue. RabbitMQ: 406 "invalid property 'exclusive-owner'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::quorum("inbox").exclusive()).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
