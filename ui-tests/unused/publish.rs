//! A publish that nobody awaits sends nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Confirming>, orders: &Exchange<Topic>) {
    chan.publish(orders, "order.created", b"12 apples");
}

fn main() {}
