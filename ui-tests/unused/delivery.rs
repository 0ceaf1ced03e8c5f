//! A delivery that nobody settles goes back to the queue.

#![deny(unused_must_use)]

use std::error::Error;

use hopmq::*;

async fn wrong(mut deliveries: Consumer) -> Result<(), Box<dyn Error>> {
    deliveries.next().await.ok_or("the end")??;
    Ok(())
}

fn main() {}
