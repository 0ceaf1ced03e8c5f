//! A transition that nobody awaits sends nothing.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(chan: Chan<Open>) {
    chan.confirm_select();
}

fn main() {}
