//! A connection that nobody awaits is not dialled.

#![deny(unused_must_use)]

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    conn.connect();
}

fn main() {}
