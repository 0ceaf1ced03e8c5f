//! Row 20: a quorum queue is deleted on a condition. RabbitMQ: 540 "queue.delete operations with if-unused flag set are not supported".

use hopmq::{Chan, Error, Open, Queue, Quorum};

async fn wrong(chan: Chan<Open>, inbox: Queue<Quorum>) -> Result<(), Error> {
    chan.delete_queue(&inbox).if_unused().await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
