//! Row 26: a retention time on a quorum queue. RabbitMQ: 406 "invalid arg 'x-max-age'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let week = std::time::Duration::from_secs(7 * 24 * 3600);
    chan.declare(Queue::quorum("inbox").max_age(week)).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
