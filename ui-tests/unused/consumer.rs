//! A consumer that nobody keeps is cancelled at once.

#![deny(unused_must_use)]

use std::error::Error;

use hopmq::*;

async fn wrong(chan: &Chan<Open>, inbox: &Queue<Quorum>) -> Result<(), Box<dyn Error>> {
    chan.consume(inbox).await?;
    Ok(())
}

fn main() {}
