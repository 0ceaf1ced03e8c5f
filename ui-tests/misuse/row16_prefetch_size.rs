//! Row 16: a prefetch in bytes. RabbitMQ: 540 "prefetch_size!=0".

use hopmq::{Chan, Classic, Error, Open, Queue};

async fn wrong(chan: Chan<Open>, inbox: Queue<Classic>) -> Result<(), Error> {
    let deliveries = chan.consume(&inbox).prefetch_size(65_536).await?;
    drop(deliveries);
    Ok(())
}

fn main() {
    let _ = wrong;
}
