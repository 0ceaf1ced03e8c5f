//! A confirm that nobody awaits leaves the outcome unknown.

#![deny(unused_must_use)]

use std::error::Error;

use hopmq::*;

async fn wrong(chan: &Chan<Confirming>, orders: &Exchange<Topic>) -> Result<(), Box<dyn Error>> {
    chan.publish(orders, "order.created", b"12 apples").await?;
    Ok(())
}

fn main() {}
