//! Row 6: tx.select after confirm.select. RabbitMQ: 406 "cannot switch from confirm to tx mode".

use hopmq::{Chan, Error, Open};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    let chan = chan.confirm_select().await?;
    chan.tx_select().await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
