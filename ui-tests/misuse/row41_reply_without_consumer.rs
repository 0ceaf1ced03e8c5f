//! Row 41: direct reply-to without a reply consumer. RabbitMQ: 406 "fast reply consumer does not exist".

use hopmq::{Chan, Confirming, Error, Exchange, Message, Topic};

async fn wrong(chan: Chan<Confirming>, services: Exchange<Topic>) -> Result<(), Error> {
    let question = Message::text("6 * 7").reply_to("amq.rabbitmq.reply-to");
    chan.publish(&services, "multiply", question).await?.await.ok();
    Ok(())
}

fn main() {
    let _ = wrong;
}
