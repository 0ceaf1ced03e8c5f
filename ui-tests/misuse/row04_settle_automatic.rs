//! Row 4: a delivery with automatic acknowledgement is settled. RabbitMQ: 406 "unknown delivery tag".

use hopmq::{AutomaticConsumer, Error};

async fn wrong(mut messages: AutomaticConsumer) -> Result<(), Error> {
    while let Some(message) = messages.next().await {
        message?.ack();
    }
    Ok(())
}

fn main() {
    let _ = wrong;
}
