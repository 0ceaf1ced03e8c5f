//! A service whose start-up cannot be written in the wrong order.
//!
//! Its `run` takes what the steps before it give: a `Topology`, which only declaring makes, a
//! `Publisher`, which only a confirming channel mints, and a channel to consume on. Leave a step
//! out, or change two of them, and it does not compile: `ui-tests/users` holds such programs with
//! the compiler's answers, and `tests/users.rs` shows how to keep them in a crate of your own.
//!
//! `cargo run --example ordered_setup` needs nothing installed: it starts a broker of its own.

mod service;

use hopmq::{Conn, Exchange, Uri, broker::Broker};
use service::{Result, Topology, run};

#[tokio::main]
async fn main() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;

    let conn = Conn::new(broker.uri().parse::<Uri>()?).connect().await?;
    let chan = conn.open_channel().await?;
    let topology = Topology::declare(&chan).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?.publisher();

    // Somebody orders.
    let orders: Exchange<_> = topology.orders().clone();
    for number in 0..3 {
        let order = format!("order {number}").into_bytes();
        publisher.publish(&orders, "order.eu.created", order).mandatory().await?.await?;
    }

    let billed = run(topology, publisher, chan, 3).await?;
    println!("{billed} orders billed");
    Ok(())
}
