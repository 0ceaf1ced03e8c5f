//! Row 43: an expiration that is not a number. RabbitMQ: 406 "invalid expiration".

use hopmq::{Chan, Confirming, Error, Exchange, Message, Topic};

async fn wrong(chan: Chan<Confirming>, orders: Exchange<Topic>) -> Result<(), Error> {
    let message = Message::text("one").expiration("soon");
    chan.publish(&orders, "order.eu.created", message).await?.await.ok();
    Ok(())
}

fn main() {
    let _ = wrong;
}
