//! Row 47: a channel is used after it was closed. RabbitMQ: 504 "expected 'channel.open'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.close().await?;
    chan.declare(Queue::quorum("inbox")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
