//! Row 32: publishing to an exchange that does not exist. RabbitMQ: 404 "no exchange".

use hopmq::{Chan, Confirming, Error};

async fn wrong(chan: Chan<Confirming>) -> Result<(), Error> {
    let confirm = chan.publish("orders", "order.eu.created", b"one").await?;
    drop(confirm);
    Ok(())
}

fn main() {
    let _ = wrong;
}
