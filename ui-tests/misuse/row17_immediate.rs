//! Row 17: an immediate publish. RabbitMQ: 540 "immediate=true".

use hopmq::{Chan, Confirming, Error, Exchange, Topic};

async fn wrong(chan: Chan<Confirming>, orders: Exchange<Topic>) -> Result<(), Error> {
    let confirm = chan.publish(&orders, "order.eu.created", b"one").immediate().await?;
    drop(confirm);
    Ok(())
}

fn main() {
    let _ = wrong;
}
