//! Row 26: a time to live on a stream. RabbitMQ: 406 "invalid arg 'x-message-ttl'".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let minute = std::time::Duration::from_secs(60);
    chan.declare(Queue::stream("log").message_ttl(minute)).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
