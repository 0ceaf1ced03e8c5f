//! Row 2: a delivery is settled on another channel. RabbitMQ: 406 "unknown delivery tag".

use hopmq::{Chan, Delivery, Error, Open};

async fn wrong(other: Chan<Open>, delivery: Delivery) -> Result<(), Error> {
    other.ack(delivery);
    Ok(())
}

fn main() {
    let _ = wrong;
}
