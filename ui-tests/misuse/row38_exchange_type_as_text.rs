//! Row 38: an exchange whose type is a text. RabbitMQ: 406 "unknown exchange type".

use hopmq::{Chan, Error, Exchange, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Exchange::new("orders", "tpoic")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
