//! Programs that hold up their runtime: the connection lives on.

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use hopmq::{Conn, ConnectionState, Exchange, Queue, broker::Broker};
use tokio::sync::oneshot;

use crate::{Result, config, node, patiently};

const HEARTBEAT: Duration = Duration::from_secs(1);

/// What a worker is blocked for: more than three heartbeat intervals.
const BLOCKED: Duration = Duration::from_millis(3_300);

/// A broker on a thread of its own, which a stalled runtime does not hold up.
struct Apart {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Apart {
    fn start() -> Apart {
        let (address, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let broker = Broker::builder().heartbeat(HEARTBEAT).bind("127.0.0.1:0").await;
                let broker = broker.expect("a free port");
                address.send(broker.address()).expect("the test waits");
                let _ = stopped.await;
            });
        });
        let address = started.recv().expect("the broker starts");
        Apart { address, stop: Some(stop), thread: Some(thread) }
    }

    fn uri(&self) -> String {
        format!("amqp://guest:guest@{}", self.address)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Handlers that block their worker: each settles first, which wakes the connection's task from the
/// worker that is then blocked.
async fn handlers_block(uri: &str) -> Result<()> {
    let conn = Conn::new(config(uri).heartbeat(HEARTBEAT)).connect().await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut deliveries = chan.consume(&queue).prefetch(10).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let default = Exchange::default_exchange();
    for number in 0..3_u8 {
        publisher.publish(&default, &queue, vec![number]).await?.await?;
    }
    let handler = tokio::spawn(async move {
        for _ in 0..3 {
            let delivery = deliveries.next().await.expect("a delivery").expect("a delivery");
            delivery.ack().expect("of this epoch");
            thread::sleep(BLOCKED);
        }
    });
    patiently(handler).await?;
    assert_eq!(conn.state(), ConnectionState::Connected);
    assert_eq!(conn.stats().machine.losses, 0, "{:?}", conn.stats().last_error);
    conn.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_a_worker_does_not_cost_the_connection() -> Result<()> {
    let broker = Apart::start();
    handlers_block(&broker.uri()).await
}

mod rabbitmq {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn a_handler_that_blocks_a_worker_does_not_cost_the_connection() -> Result<()> {
        handlers_block(&node::shared_uri()).await
    }
}
