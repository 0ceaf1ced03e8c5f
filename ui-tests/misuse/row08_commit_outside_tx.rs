//! Row 8: a commit outside a transaction. RabbitMQ: 406 "channel is not transactional".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.commit().await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
