//! A channel is used before its transition is awaited.

use hopmq::*;

async fn wrong(chan: Chan<Open>, orders: Exchange<Topic>) -> Result<(), Error> {
    let chan = chan.confirm_select();
    chan.publish_all(&orders, "order.created", [b"one"]).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
