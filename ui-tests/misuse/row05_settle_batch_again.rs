//! Row 5: a batch over a delivery that is settled already. RabbitMQ: 406 "unknown delivery tag".

use hopmq::{Batch, Delivery, Error};

async fn wrong(first: Delivery, second: Delivery) -> Result<(), Error> {
    let mut batch = Batch::new();
    first.ack()?;
    batch.push(second);
    batch.push(first);
    batch.ack()
}

fn main() {
    let _ = wrong;
}
