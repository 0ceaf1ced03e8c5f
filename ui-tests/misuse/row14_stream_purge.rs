//! Row 14: a stream is purged. RabbitMQ: 540 "queue.purge not supported by stream queues".

use hopmq::{Chan, Error, Open, Queue, Stream};

async fn wrong(chan: Chan<Open>, log: Queue<Stream>) -> Result<(), Error> {
    chan.purge(&log).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
