//! A RabbitMQ that raises its memory alarm: publishing waits or fails at once, as configured; settling and closing go
//! on as far as a broker lets them that reads nothing more from who has published.

mod own_nodes {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use hopmq::{Config, Conn, Error, Exchange, Hold, Queue};

    use crate::{Outcome, blocking, node::Node};

    const SHORT: Duration = Duration::from_secs(2);
    const PATIENT: Duration = Duration::from_secs(120);

    async fn alarm(node: &Arc<Node>, high_watermark: &'static str) {
        let node = node.clone();
        blocking(move || node.ctl(&["set_vm_memory_high_watermark", high_watermark])).await;
    }

    async fn patiently<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENT, what).await.expect("in time")
    }

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn publishing_waits_or_fails_as_configured_and_the_rest_goes_on() -> Outcome {
        let node = Arc::new(blocking(Node::start).await);
        let config: Config = node.uri().parse()?;
        let config = config.call_timeout(PATIENT);
        let waits = Conn::new(config.clone()).connect().await?;
        let fails = Conn::new(config.clone().while_blocked(Hold::FailFast)).connect().await?;
        let consumes = Conn::new(config.clone()).connect().await?;
        let default = Exchange::default_exchange();

        let waiting = waits.open_channel().await?.confirm_select().await?;
        let failing = fails.open_channel().await?.confirm_select().await?;
        let taking = consumes.open_channel().await?;
        let queue = waiting.declare(Queue::classic("inbox")).await?;
        for _ in 0..3 {
            waiting.publish(&default, &queue, b"before").await?.await?;
        }
        let mut consumer = taking.consume(&queue).prefetch(10).await?;
        let held = consumer.next().await.ok_or("the first")??;

        alarm(&node, "0").await;
        // A broker tells those who publish; what made it tell is confirmed after the alarm.
        let last = waiting.publish(&default, &queue, b"the last").await?;
        let also = failing.publish(&default, &queue, b"the last").await?;
        patiently(waits.blocked()).await?;
        patiently(fails.blocked()).await?;

        let late = waiting.publish(&default, &queue, b"late").within(SHORT).await;
        let (error, message) = late.map(drop).unwrap_err().into_parts();
        assert!(matches!(error, Error::Timeout { after: SHORT, .. }), "{error:?}");
        assert_eq!(message.body().len(), 4, "the message comes back");
        let began = Instant::now();
        let refused = failing.publish(&default, &queue, b"no").await.map(drop).unwrap_err();
        let Error::Blocked { reason } = refused.error() else { panic!("{refused:?}") };
        assert!(reason.contains("memory"), "{reason}");
        assert!(began.elapsed() < SHORT, "at once");

        // On a connection that has not published, consuming and settling go on with the broker's answer.
        held.ack()?;
        for _ in 0..2 {
            consumer.next().await.ok_or("the others")??.ack()?;
        }
        let counts = taking.counts(&queue).within(PATIENT).await?;
        assert_eq!(counts.messages, 0, "what was settled is gone");
        // Closing a connection that the broker does not read ends at its deadline.
        let began = Instant::now();
        let closing = Conn::new(config.clone().call_timeout(SHORT)).connect().await?;
        let chan = closing.open_channel().await?.confirm_select().await?;
        let _unread = chan.publish(&default, &queue, b"unread").await?;
        patiently(closing.blocked()).await?;
        patiently(closing.close()).await?;
        assert!(began.elapsed() < PATIENT);

        // A publish that waits goes out when the alarm is over.
        let next = waiting.publish(&default, &queue, b"next").within(PATIENT);
        let (next, ()) = tokio::join!(next, alarm(&node, "0.4"));
        next?.await?;
        last.await?;
        also.await?;
        patiently(waits.unblocked()).await?;
        patiently(fails.unblocked()).await?;
        failing.publish(&default, &queue, b"again").await?.await?;
        blocking(move || drop(node)).await;
        Ok(())
    }
}
