//! Names what a service names: handles in structs, traits in bounds, errors in its own error.

#![deny(warnings)]

use std::{net::TcpListener, sync::Arc, time::Duration};

use hopmq::{
    AnyChan, Batch, Blame, Chan, ChanState, Config, Confirming, Confirms, Conn, Connected,
    ConsumeError, Consumer, Delivery, Error, Exchange, Failed, Message, Publisher, Queue, Quorum,
    RpcClient, RpcError, Topic, Unconfirmed, Uri,
    capability::{InConfirmMode, IsOpen},
    queue::{CanGet, QueueKind},
};

/// Handles are stored, shared and sent to tasks.
#[allow(dead_code)]
struct Service {
    conn: Conn<Connected>,
    shared: Arc<Chan<Confirming>>,
    publisher: Publisher,
    rpc: RpcClient,
    stored: Vec<AnyChan>,
    orders: Exchange<Topic>,
    inbox: Queue<Quorum>,
}

#[allow(dead_code)]
#[derive(Debug)]
enum ServiceError {
    Broker(Error),
    Consuming(ConsumeError),
    Unsent(Failed<Message>),
    Unconfirmed(Unconfirmed),
    Rpc(RpcError),
}

/// The traits can be named in bounds.
#[allow(dead_code)]
async fn moved<S, K>(
    chan: &Chan<S>,
    from: &Queue<K>,
    publisher: &Publisher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: ChanState,
    K: QueueKind + CanGet,
    Chan<S>: IsOpen,
{
    let default = Exchange::default_exchange();
    while let Some(delivery) = chan.get(from).within(Duration::from_secs(1)).await? {
        let again = Message::new(delivery.body());
        publisher.publish(&default, from, again).mandatory().await?.await?;
        delivery.ack()?;
    }
    Ok(())
}

#[allow(dead_code)]
async fn all_at_once<S: ChanState>(
    chan: &Chan<S>,
    orders: &Exchange<Topic>,
    mut deliveries: Consumer,
) -> Result<(), Error>
where
    Chan<S>: InConfirmMode,
{
    let mut confirms = Confirms::new();
    let mut batch = Batch::new();
    while let Some(delivery) = deliveries.next().await {
        let delivery: Delivery = delivery?;
        confirms.push(chan.publish(orders, "order.copied", delivery.body()).await?);
        batch.push(delivery);
    }
    match confirms.all().await {
        Ok(()) => batch.ack(),
        Err(_) => batch.requeue(),
    }
}

/// What fails gives back what remains, and says who is to blame.
async fn nobody_there() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let uri: Uri = format!("amqp://{free}?connection_timeout=2000").parse()?;
    let failed = Conn::new(Config::from(uri)).connect().await.unwrap_err();
    assert_eq!(failed.error().blame(), Blame::Network);
    let (error, conn) = failed.into_parts();
    assert_eq!(format!("{conn:?}"), "Conn<Disconnected>");
    assert!(error.is_transient());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(nobody_there())
}
