//! Row 25: a classic queue that is neither durable nor exclusive. RabbitMQ 4.x: 541.

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::classic("replies").transient()).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
