//! Row 33: publishing to an internal exchange. RabbitMQ: 403 "cannot publish to internal exchange".

use hopmq::{Chan, Confirming, Error, Exchange, Topic, exchange::Internal};

async fn wrong(chan: Chan<Confirming>, audit: Exchange<Internal<Topic>>) -> Result<(), Error> {
    let confirm = chan.publish(&audit, "order.eu.created", b"one").await?;
    drop(confirm);
    Ok(())
}

fn main() {
    let _ = wrong;
}
