//! Row 38: an exchange of a type that does not exist. RabbitMQ: 406 "unknown exchange type".

use hopmq::{Chan, Error, Exchange, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Exchange::topics("orders")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
