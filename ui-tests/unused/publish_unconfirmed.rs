//! A publish that nobody awaits sends nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Open>, orders: &Exchange<Topic>) {
    chan.publish_unconfirmed(orders, "order.created", b"12 apples");
}

fn main() {}
