//! Row 30: consuming from what was never declared. RabbitMQ: 404 "no queue".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let deliveries = chan.consume("inbox").await?;
    drop(deliveries);
    Ok(())
}

fn main() {
    let _ = wrong;
}
