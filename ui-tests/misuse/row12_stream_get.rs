//! Row 12: a stream is polled. RabbitMQ: 540 "basic.get not supported by stream queues".

use hopmq::{Chan, Error, Open, Queue, Stream};

async fn wrong(chan: Chan<Open>, log: Queue<Stream>) -> Result<(), Error> {
    let delivery = chan.get(&log).await?;
    drop(delivery);
    Ok(())
}

fn main() {
    let _ = wrong;
}
