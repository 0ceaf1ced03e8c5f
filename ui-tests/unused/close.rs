//! A close that nobody awaits is not waited for.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    chan.close();
}

fn main() {}
