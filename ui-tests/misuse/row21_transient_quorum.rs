//! Row 21: a transient quorum queue. RabbitMQ: 406 "invalid property 'non-durable'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::quorum("inbox").transient()).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
