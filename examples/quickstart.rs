//! From an address to a settled delivery: 1,000 orders, published with confirms by one task,
//! consumed, settled and counted by another.
//!
//! `cargo run --example quickstart` needs nothing installed: it starts a broker of its own.
//! `AMQP_URL=amqp://guest:guest@localhost cargo run --example quickstart` uses a real RabbitMQ.

use std::{env, error::Error};

use hopmq::{
    Chan, Confirming, Conn, Consumer, Exchange, Queue, Topic, Uri,
    broker::{Broker, Listening},
};

const ORDERS: usize = 1_000;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let (uri, _broker) = broker().await?;

    // Conn<Disconnected>: nothing but connect() compiles.
    let conn = Conn::new(uri.parse::<Uri>()?);
    println!("{conn:?}");
    let conn = conn.connect().await?;
    println!("{conn:?}");
    // What the run-time machine does beneath the types, from the first dialling on.
    let mut changes = conn.state_changes();

    // Declaring gives tokens; binding, publishing and consuming take them.
    let chan = conn.open_channel().await?;
    println!("{chan:?}");
    let orders = chan.declare(Exchange::topic("hopmq.quickstart.orders")).await?;
    let inbox = chan.declare(Queue::classic("hopmq.quickstart.inbox")).await?;
    chan.bind(&inbox, &orders, "order.*.created").await?;
    println!("bound queue '{}' to exchange '{}'", inbox.name(), orders.name());
    let deliveries = chan.consume(&inbox).prefetch(100).await?;

    // Publishing with confirms needs a Chan<Confirming>.
    let publisher = conn.open_channel().await?.confirm_select().await?;
    println!("{publisher:?}");

    let consuming = tokio::spawn(consume(deliveries));
    let publishing = tokio::spawn(publish(publisher, orders.clone()));
    let confirmed = publishing.await??;
    let settled = consuming.await??;
    println!("{confirmed} orders confirmed, {settled} consumed and settled");

    chan.delete_queue(&inbox).await?;
    chan.delete_exchange(&orders).await?;
    let chan = chan.close().await?;
    println!("{chan:?}");
    let conn = conn.close().await?;
    println!("{conn:?}");

    println!("the connection's states as they changed:");
    while let Some(change) = changes.next().await {
        println!("  {change}");
    }
    Ok(())
}

async fn publish(publisher: Chan<Confirming>, orders: Exchange<Topic>) -> Result<usize> {
    let mut confirms = Vec::with_capacity(ORDERS);
    for number in 0..ORDERS {
        let order = format!("{{\"order\":{number}}}").into_bytes();
        confirms.push(publisher.publish(&orders, "order.eu.created", order).mandatory().await?);
    }
    // Publishing goes on while confirms arrive; each is awaited in the end.
    let count = confirms.len();
    for confirm in confirms {
        confirm.await?;
    }
    Ok(count)
}

async fn consume(mut deliveries: Consumer) -> Result<usize> {
    for settled in 0..ORDERS {
        let delivery = deliveries.next().await.ok_or("the consumer ended early")??;
        let expected = format!("{{\"order\":{settled}}}");
        assert_eq!(delivery.body().into_bytes(), expected, "in the order of publishing");
        delivery.ack()?;
    }
    Ok(ORDERS)
}

/// A real broker where `AMQP_URL` names one, else one in this process.
async fn broker() -> Result<(String, Option<Broker<Listening>>)> {
    match env::var("AMQP_URL") {
        Ok(uri) => {
            println!("using the broker that AMQP_URL names");
            Ok((uri, None))
        }
        Err(_) => {
            let broker = Broker::bind("127.0.0.1:0").await?;
            println!("started an embedded broker on {}", broker.address());
            Ok((broker.uri(), Some(broker)))
        }
    }
}
