//! Row 15: a quorum queue is consumed under a prefetch for the whole channel. RabbitMQ: 540 "does not support global qos".

use hopmq::{Chan, Error, Open, Queue, Quorum};

async fn wrong(chan: Chan<Open>, inbox: Queue<Quorum>) -> Result<(), Error> {
    chan.qos(100);
    let deliveries = chan.consume(&inbox).await?;
    drop(deliveries);
    Ok(())
}

fn main() {
    let _ = wrong;
}
