//! Row 18: deliveries are paused with channel.flow. RabbitMQ: 540 "active=false".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.flow(false);
    Ok(())
}

fn main() {
    let _ = wrong;
}
