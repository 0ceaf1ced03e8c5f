//! Row 40: a second direct reply-to consumer on a channel. RabbitMQ: 406 "reply consumer already
//! set".

use hopmq::{Chan, Confirming, Error};

async fn wrong(chan: Chan<Confirming>) -> Result<(), Error> {
    let first = chan.rpc_client().await?;
    let second = chan.rpc_client().await?;
    drop((first, second));
    Ok(())
}

fn main() {
    let _ = wrong;
}
