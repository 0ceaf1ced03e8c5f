//! Row 26: a delivery limit on a classic queue. RabbitMQ: 406 "invalid arg 'x-delivery-limit'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::classic("inbox").delivery_limit(5)).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
