//! A channel is used before its transition is awaited.

use hopmq::*;

async fn wrong(chan: Chan<Closed>) -> Result<(), Error> {
    let chan = chan.reopen();
    chan.declare(Queue::quorum("inbox")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
