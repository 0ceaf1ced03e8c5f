//! Row 9: a confirm is awaited without confirm.select. Elsewhere it hangs, or does nothing.

use hopmq::{Chan, Error, Exchange, Open, Topic};

async fn wrong(chan: Chan<Open>, orders: Exchange<Topic>) -> Result<(), Error> {
    let confirm = chan.publish(&orders, "order.eu.created", b"one").await?;
    drop(confirm);
    Ok(())
}

fn main() {
    let _ = wrong;
}
