//! Row 26: an argument of another queue type. RabbitMQ: 406 "invalid arg 'x-max-priority'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::quorum("inbox").max_priority(10)).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
