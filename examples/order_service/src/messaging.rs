//! Exchange, queues, publisher and worker.

use std::{fmt, sync::Arc, time::Duration};

use hopmq::{
    Config, Conn, Connected, Exchange, Queue, Quorum, Topic,
    service::{
        Json, Message, Once, PublishError, Publisher, RecentIds, Retry, Worker,
        health::Health,
        metrics::{PoolReporter, Reporter},
        pool::{ChanPool, PoolError},
    },
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    BoxError,
    orders::{Order, Warehouse},
    telemetry,
};

/// How the service deals with orders.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Apples in stock at first.
    pub apples: u32,
    /// How often an order that cannot be shipped is tried again, and after what delay.
    pub max_retries: u32,
    pub retry_delay: Duration,
    /// How often what the connections count is reported.
    pub report_every: Duration,
    /// How often the broker is asked for a sign of life, for the probes.
    pub check_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            apples: 1000,
            max_retries: 5,
            retry_delay: Duration::from_secs(10),
            report_every: Duration::from_secs(5),
            check_every: Duration::from_secs(10),
        }
    }
}

/// What the service has of the broker. Publishing, on channels of a pool, and consuming have connections of
/// their own: when the broker holds publishers back, consumers go on.
pub(crate) struct Messaging {
    state: State,
    worker: JoinHandle<Result<hopmq::service::Served, hopmq::ConsumeError>>,
    /// What reports, and what checks.
    watchers: JoinSet<()>,
}

/// What requests need.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) publishing: ChanPool,
    orders: Exchange<Topic>,
    pub(crate) consuming: Arc<Conn<Connected>>,
    pub(crate) queue: Queue<Quorum>,
    pub(crate) parked: Queue<Quorum>,
    pub(crate) warehouse: Arc<Warehouse>,
    pub(crate) health: Health,
}

impl Messaging {
    pub(crate) async fn start(
        config: Config,
        settings: Settings,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Self, BoxError> {
        let publishing = ChanPool::publishing(config.clone()).build()?;
        let consuming = Conn::new(config).connect().await?;
        telemetry::prometheus();
        let mut watchers = JoinSet::new();
        let of_pool = PoolReporter::new(&publishing, "publishing");
        watchers.spawn(of_pool.every(settings.report_every).run());
        let of_consuming = Reporter::new(consuming.state_changes(), "consuming");
        watchers.spawn(of_consuming.every(settings.report_every).run());
        watchers.spawn(telemetry::keep_up());

        let chan = consuming.open_channel().await?.confirm_select().await?;
        let orders = chan.declare(Exchange::topic("orders")).await?;
        let queue = chan.declare(Queue::quorum("orders.ship")).await?;
        chan.bind(&queue, &orders, "order.created").await?;
        let retry = Retry::times(settings.max_retries, settings.retry_delay);
        let retries = retry.declare(&chan, &queue).await?;
        let parked = retries.parked().clone();

        let warehouse = Arc::new(Warehouse::new(settings.apples));
        let worker = Worker::new(chan.consume(&queue).prefetch(64).await?, Json)
            .on_failure(retries)
            .deadline(Duration::from_secs(30))
            .order_by(|order: &Message<Order>| order.payload.customer.clone());
        let shipping = warehouse.clone();
        let ship = move |order| {
            let shipping = shipping.clone();
            async move { shipping.ship(order) }
        };
        let handler = Once::new(ship, RecentIds::new(10_000));
        let worker = tokio::spawn(worker.run_until(handler, async move {
            // An error says that the service is gone, which is a reason to stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        }));

        // The first channel, so that what is wrong shows now and not with the first order.
        drop(publishing.get().await?);
        let consuming = Arc::new(consuming);
        let health = Health::builder().pool("publishing", &publishing);
        let health = health.connection("consuming", &consuming).every(settings.check_every).build();
        watchers.spawn(health.run());
        let state = State { publishing, orders, consuming, queue, parked, warehouse, health };
        Ok(Messaging { state, worker, watchers })
    }

    pub(crate) fn state(&self) -> State {
        self.state.clone()
    }

    /// Waits for the orders that are being shipped, and closes the connections.
    pub(crate) async fn finish(self) -> Result<(), BoxError> {
        println!("{:?}", self.worker.await??);
        let State { publishing, consuming, .. } = self.state;
        publishing.close().await;
        // The routes that shared it are gone; a connection that is not is closed when they are.
        if let Some(conn) = Arc::into_inner(consuming) {
            conn.close().await?;
        }
        drop(self.watchers);
        Ok(())
    }
}

/// An order was not published.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Pool(PoolError),
    Publish(PublishError),
}

impl State {
    /// Publishes an order on a channel of the pool, and waits until the broker has it.
    pub(crate) async fn publish(&self, order: &Message<Order>) -> Result<(), NotTaken> {
        let chan = self.publishing.get().await.map_err(NotTaken::Pool)?;
        let publisher = Publisher::new(chan.publisher(), self.orders.clone(), Json);
        publisher.publish("order.created", order).await.map_err(NotTaken::Publish)
    }
}

impl NotTaken {
    /// In one word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            NotTaken::Pool(_) => "pool",
            NotTaken::Publish(error) => error.kind(),
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::Pool(error) => error.fmt(f),
            NotTaken::Publish(error) => error.fmt(f),
        }
    }
}
