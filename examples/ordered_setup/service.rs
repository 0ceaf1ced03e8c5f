//! The service itself: what it needs, and its loop.

use hopmq::{
    Chan, ChanState, Classic, Error, Exchange, Publisher, Queue, Topic, capability::IsOpen,
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the service needs at the broker, declared and bound.
///
/// The fields are private and nothing else makes one: whoever holds it has declared.
pub(crate) struct Topology {
    orders: Exchange<Topic>,
    unbilled: Queue<Classic>,
}

impl Topology {
    /// Declares and binds, on any channel that is open: the bound says so, and the compiler says
    /// what to do where it is not met.
    pub(crate) async fn declare<S: ChanState>(chan: &Chan<S>) -> std::result::Result<Self, Error>
    where
        Chan<S>: IsOpen,
    {
        let orders = chan.declare(Exchange::topic("hopmq.setup.orders")).await?;
        let unbilled = chan.declare(Queue::classic("hopmq.setup.unbilled")).await?;
        chan.bind(&unbilled, &orders, "order.*.created").await?;
        Ok(Topology { orders, unbilled })
    }

    /// Where orders are published.
    pub(crate) fn orders(&self) -> &Exchange<Topic> {
        &self.orders
    }
}

/// Bills so many orders. It takes all by value: there is one loop for one setup.
pub(crate) async fn run<S: ChanState>(
    topology: Topology,
    publisher: Publisher,
    chan: Chan<S>,
    count: usize,
) -> Result<usize>
where
    Chan<S>: IsOpen,
{
    let mut unbilled = chan.consume(&topology.unbilled).prefetch(10).await?;
    for _ in 0..count {
        let order = unbilled.next().await.ok_or("the consumer was cancelled")??;
        // The bill is confirmed before the order is settled: what fails in between is billed
        // again, and nothing is ever lost.
        let bill = order.body().into_bytes();
        publisher.publish(&topology.orders, "order.eu.billed", bill).await?.await?;
        order.ack()?;
    }
    Ok(count)
}
