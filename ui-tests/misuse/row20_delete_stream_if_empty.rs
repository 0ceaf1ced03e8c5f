//! Row 20: a stream is deleted if it is empty. RabbitMQ: 540 "queue.delete operations with if-empty flag set are not supported".

use hopmq::{Chan, Error, Open, Queue, Stream};

async fn wrong(chan: Chan<Open>, log: Queue<Stream>) -> Result<(), Error> {
    chan.delete_queue(&log).if_empty().await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
