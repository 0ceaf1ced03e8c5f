//! A `Conn<Disconnected>` has no `find`: it takes a `Conn<Connected>`.

use hopmq::*;

async fn wrong(conn: Conn<Disconnected>) {
    let _ = conn.find(Queue::classic("inbox")).await;
}

fn main() {}
