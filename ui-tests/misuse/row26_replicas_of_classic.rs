//! Row 26: replicas of a classic queue. RabbitMQ: 406 "invalid arg 'x-quorum-initial-group-size'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let three = std::num::NonZeroU16::new(3).expect("not zero");
    chan.declare(Queue::classic("inbox").initial_group_size(three)).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
