//! A call that nobody awaits sends nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Open>, orders: &Exchange<Topic>, inbox: &Queue<Quorum>) {
    chan.bind(inbox, orders, "order.*");
}

fn main() {}
