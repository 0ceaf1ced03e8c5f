//! Row 24: a quorum queue that the broker names. RabbitMQ: 406 "Cannot declare a server-named queue for type rabbit_quorum_queue".

use hopmq::{Chan, Error, Open, Queue, Quorum};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::<Quorum>::server_named()).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
