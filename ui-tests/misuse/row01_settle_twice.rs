//! Row 1: a delivery is settled twice. RabbitMQ: 406 "unknown delivery tag".

use hopmq::{Delivery, Error};

async fn wrong(delivery: Delivery) -> Result<(), Error> {
    delivery.ack()?;
    delivery.ack()
}

fn main() {
    let _ = wrong;
}
