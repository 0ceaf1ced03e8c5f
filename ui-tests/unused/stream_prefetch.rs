//! A stream that has no prefetch is not consumed yet.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: &Chan<Open>, log: &Queue<Stream>) {
    chan.consume(log);
}

fn main() {}
