//! Row 10: a stream is consumed without a prefetch. RabbitMQ: 406 "consumer prefetch count is not set".

use hopmq::{Chan, Error, Open, Queue, Stream};

async fn wrong(chan: Chan<Open>, log: Queue<Stream>) -> Result<(), Error> {
    let deliveries = chan.consume(&log).await?;
    drop(deliveries);
    Ok(())
}

fn main() {
    let _ = wrong;
}
