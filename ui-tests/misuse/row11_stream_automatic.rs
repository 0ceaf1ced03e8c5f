//! Row 11: a stream is consumed with automatic acknowledgement. RabbitMQ: 540 "automatic acknowledgement not supported by stream".

use hopmq::{Chan, Error, Open, Queue, Stream};

async fn wrong(chan: Chan<Open>, log: Queue<Stream>) -> Result<(), Error> {
    let messages = chan.consume(&log).automatic_ack().await?;
    drop(messages);
    Ok(())
}

fn main() {
    let _ = wrong;
}
