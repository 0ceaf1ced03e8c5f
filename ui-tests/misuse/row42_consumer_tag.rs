//! Row 42: a consumer tag is used twice. RabbitMQ: 530 "attempt to reuse consumer tag".

use hopmq::{Chan, Classic, Error, Open, Queue};

async fn wrong(chan: Chan<Open>, inbox: Queue<Classic>) -> Result<(), Error> {
    let deliveries = chan.consume(&inbox).consumer_tag("worker").await?;
    drop(deliveries);
    Ok(())
}

fn main() {
    let _ = wrong;
}
