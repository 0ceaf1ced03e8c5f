//! A message that was got and that nobody settles goes back to the queue.

#![deny(unused_must_use)]

use std::error::Error;

use hopmq::*;

async fn wrong(chan: &Chan<Open>, inbox: &Queue<Quorum>) -> Result<(), Box<dyn Error>> {
    chan.get(inbox).await?.ok_or("none")?;
    Ok(())
}

fn main() {}
