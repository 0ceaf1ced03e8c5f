//! A consumer is used before it is awaited.

use hopmq::*;

async fn wrong(chan: Chan<Open>, inbox: Queue<Quorum>) -> Result<(), Error> {
    let mut deliveries = chan.consume(&inbox).prefetch(100);
    let delivery = deliveries.next().await;
    drop(delivery);
    Ok(())
}

fn main() {
    let _ = wrong;
}
