//! Row 45: a message names somebody else as its user. RabbitMQ: 406 "user_id property set to 'bob' but authenticated user was 'guest'".

use hopmq::{Chan, Confirming, Error, Exchange, Message, Topic};

async fn wrong(chan: Chan<Confirming>, orders: Exchange<Topic>) -> Result<(), Error> {
    let message = Message::text("one").user_id("bob");
    chan.publish(&orders, "order.eu.created", message).await?.await.ok();
    Ok(())
}

fn main() {
    let _ = wrong;
}
