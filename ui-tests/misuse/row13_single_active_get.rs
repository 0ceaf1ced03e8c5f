//! Row 13: a queue with a single active consumer is polled. RabbitMQ: 405 "basic.get operations are not supported".

use hopmq::{Chan, Error, Open, Queue, Quorum, SingleActive};

async fn wrong(chan: Chan<Open>, inbox: Queue<SingleActive<Quorum>>) -> Result<(), Error> {
    let delivery = chan.get(&inbox).await?;
    drop(delivery);
    Ok(())
}

fn main() {
    let _ = wrong;
}
