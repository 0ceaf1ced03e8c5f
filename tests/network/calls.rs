//! Calls that are in flight when the connection is lost: each waits for the recovery, or fails at once.

use std::{future::IntoFuture, net::SocketAddr};

use hopmq::{Conn, Error, Exchange, Hold, Queue, broker::Broker};
use tokio::task::yield_now;

use crate::{
    Result, config, patiently,
    proxy::{Proxy, Way},
};

async fn calls_in_flight_wait_or_fail(broker: SocketAddr) -> Result<()> {
    let proxy = Proxy::to(broker).await;
    for configured in [Hold::Wait, Hold::FailFast] {
        let config = config(&proxy.uri()).while_recovering(configured);
        let conn = Conn::new(config).connect().await?;
        let chan = conn.open_channel().await?;
        let queue = chan.declare(Queue::server_named()).await?;
        let (to_confirm, to_close) = (conn.open_channel().await?, conn.open_channel().await?);
        let publisher = conn.open_channel().await?.confirm_select().await?;

        proxy.swallow(&[Way::Up]);
        let fails = Hold::FailFast;
        let counts = chan.counts(&queue).while_recovering(fails);
        let consume = chan.consume(&queue).into_future().while_recovering(fails);
        let opened = conn.open_channel().while_recovering(fails);
        let confirming = to_confirm.confirm_select().while_recovering(fails);
        let closed = to_close.close().while_recovering(fails);
        let as_configured = chan.counts(&queue);
        let waits = chan.counts(&queue).while_recovering(Hold::Wait);
        let opens = conn.open_channel().while_recovering(Hold::Wait);
        let default = Exchange::default_exchange();
        let message = publisher.publish(&default, &queue, b"kept").mandatory().at_least_once();
        let kept = message.await?;
        let selects = publisher.counts(&queue).while_recovering(Hold::Wait);
        let results = patiently(async {
            tokio::join!(
                async { tokio::join!(counts, consume, opened, confirming, closed) },
                async { tokio::join!(as_configured, waits, opens, selects) },
                async {
                    // All are sent by then.
                    yield_now().await;
                    proxy.reset();
                    proxy.swallow(&[]);
                }
            )
        });
        let (
            (counts, consume, opened, confirming, closed),
            (as_configured, waits, opens, selects),
            (),
        ) = results.await;
        assert!(matches!(counts, Err(Error::Network { .. })), "{counts:?}");
        assert!(matches!(consume, Err(Error::Network { .. })), "{consume:?}");
        assert!(matches!(opened, Err(Error::Network { .. })), "{opened:?}");
        assert!(matches!(confirming, Err(Error::Network { .. })), "{confirming:?}");
        assert!(closed.is_ok(), "a cut closes it too: {closed:?}");
        assert_eq!(as_configured.is_ok(), configured == Hold::Wait, "{as_configured:?}");
        assert_eq!(waits?.consumers, 0, "the one that failed is not there");
        selects?;
        patiently(kept).await?;
        // Nothing is left of what failed.
        let mut consumer = patiently(chan.consume(&queue).into_future()).await?;
        assert_eq!(patiently(opens?.counts(&queue)).await?.consumers, 1);
        patiently(consumer.next()).await.ok_or("the kept message")??.ack()?;
        patiently(consumer.cancel()).await?;
        patiently(conn.close()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_in_flight_at_a_cut_wait_or_fail_each_as_it_says() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    calls_in_flight_wait_or_fail(broker.address()).await
}

mod rabbitmq {
    use super::*;

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn calls_in_flight_at_a_cut_wait_or_fail_each_as_it_says() -> Result<()> {
        calls_in_flight_wait_or_fail(crate::shared_node()).await
    }
}
