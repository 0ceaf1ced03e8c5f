//! Logging in to a real RabbitMQ in every way, and not logging in where something is wrong: over TLS with good and
//! bad certificates of either side, with every mechanism, with tokens that expire, and while the broker is blocked.

#[path = "../node/mod.rs"]
mod node;

mod blocked;
mod login;
mod tls;
mod told;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs what blocks, such as starting a node.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

/// Shows that a connection works: a message of several frames goes through a queue.
async fn works(conn: &hopmq::Conn<hopmq::Connected>) -> Outcome {
    use hopmq::{Exchange, Queue};
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let body = vec![7; 300_000];
    chan.publish(&Exchange::default_exchange(), &queue, body).mandatory().await?.await?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(delivery.body_len(), 300_000);
    delivery.ack()?;
    Ok(())
}
