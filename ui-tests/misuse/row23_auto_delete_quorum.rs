//! Row 23: an auto-delete quorum queue. RabbitMQ: 406 "invalid property 'auto-delete'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::quorum("inbox").auto_delete()).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
