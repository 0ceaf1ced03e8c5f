//! A consumer that nobody awaits consumes nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Open>, inbox: &Queue<Quorum>) {
    chan.consume(inbox);
}

fn main() {}
