//! Row 7: confirm.select after tx.select. RabbitMQ: 406 "cannot switch from tx to confirm mode".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let chan = chan.tx_select().await?;
    chan.confirm_select().await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
