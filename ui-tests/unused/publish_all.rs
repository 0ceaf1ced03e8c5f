//! A publish of many messages that nobody awaits sends nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Confirming>, orders: &Exchange<Topic>) {
    chan.publish_all(orders, "order.created", [b"12 apples"]);
}

fn main() {}
