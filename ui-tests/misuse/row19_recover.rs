//! Row 19: basic.recover without requeueing. RabbitMQ: 540 "requeue=false".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.recover(false);
    Ok(())
}

fn main() {
    let _ = wrong;
}
