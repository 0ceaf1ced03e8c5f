//! Tokens are good where they were declared; elsewhere they are refused before anything is sent.

use hopmq::{Blame, Error, Exchange, Queue, UsageError, broker::Broker};

use crate::place::{Outcome, Place, default_exchange};

on_both_brokers!(
    a_token_of_another_broker_is_refused,
    a_token_of_another_virtual_host_is_refused,
    a_token_is_good_on_every_connection,
    an_exclusive_queue_is_refused_elsewhere,
);

async fn a_token_of_another_broker_is_refused(at: Place) -> Outcome {
    let other = Broker::bind("127.0.0.1:0").await?;
    let conn = hopmq::Conn::new(other.uri().parse::<hopmq::Uri>()?).connect().await?;
    foreign_tokens_are_refused(&at, &conn).await
}

async fn a_token_of_another_virtual_host_is_refused(at: Place) -> Outcome {
    // Only the embedded broker makes one for the asking: both connections go there.
    let broker = Broker::builder().vhost("shop").bind("127.0.0.1:0").await?;
    let config: hopmq::Config = broker.uri().parse()?;
    let here = hopmq::Conn::new(config.clone()).connect().await?.open_channel().await?;
    let there = hopmq::Conn::new(config.vhost("shop")).connect().await?.open_channel().await?;
    let queue = here.declare(Queue::classic(at.name("inbox"))).await?;
    is_wrong_broker(&there.counts(&queue).await.unwrap_err());
    Ok(())
}

async fn foreign_tokens_are_refused(at: &Place, conn: &hopmq::Conn<hopmq::Connected>) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::topic(at.name("orders"))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let there = conn.open_channel().await?;
    let own = there.declare(Queue::server_named()).await?;
    let errors = [
        there.counts(&queue).await.map(drop).unwrap_err(),
        there.purge(&queue).await.map(drop).unwrap_err(),
        there.delete_queue(&queue).await.map(drop).unwrap_err(),
        there.get(&queue).await.map(drop).unwrap_err(),
        there.consume(&queue).await.map(drop).unwrap_err(),
        there.bind(&queue, &exchange, "#").await.unwrap_err(),
        there.bind(&own, &exchange, "#").await.unwrap_err(),
        there.bind(&queue, &Exchange::amq_topic(), "#").await.unwrap_err(),
        there.unbind(&own, &exchange, "#").await.unwrap_err(),
        there.delete_exchange(&exchange).await.unwrap_err(),
        there.publish_unconfirmed(&exchange, "key", b"x").await.unwrap_err().into(),
        there.publish_unconfirmed(&default_exchange(), &queue, b"x").await.unwrap_err().into(),
    ];
    errors.iter().for_each(is_wrong_broker);
    // Nothing was sent, so nothing was closed, at neither end.
    assert_eq!(there.counts(&own).await?.messages, 0);
    assert_eq!(chan.counts(&queue).await?.messages, 0);
    Ok(())
}

fn is_wrong_broker(error: &Error) {
    assert!(matches!(error, Error::Usage(UsageError::WrongBroker { .. })), "{error:?}");
    assert_eq!(error.blame(), Blame::Caller);
}

async fn a_token_is_good_on_every_connection(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let exchange = chan.declare(Exchange::topic(at.name("orders"))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let other = at.publisher().await?;
    other.bind(&queue, &exchange, "#").await?;
    other.publish(&exchange, "key", b"x").mandatory().await?.await?;
    drop(chan);
    let delivery = at.chan().await?.get(&queue).await?.ok_or("it is there")?;
    delivery.ack()?;
    Ok(())
}

async fn an_exclusive_queue_is_refused_elsewhere(at: Place) -> Outcome {
    let (conn, other) = (at.conn().await?, at.conn().await?);
    let queue = conn.open_channel().await?.declare(Queue::server_named()).await?;
    assert_eq!(conn.open_channel().await?.counts(&queue).await?.messages, 0);
    let there = other.open_channel().await?;
    let errors = [
        there.counts(&queue).await.map(drop).unwrap_err(),
        there.get(&queue).await.map(drop).unwrap_err(),
        there.consume(&queue).await.map(drop).unwrap_err(),
        there.bind(&queue, &Exchange::amq_fanout(), ()).await.unwrap_err(),
    ];
    for error in errors {
        let usage = matches!(error, Error::Usage(UsageError::ForeignExclusiveQueue { .. }));
        assert!(usage, "{error:?}");
    }
    // Anybody may publish to it.
    there.publish_unconfirmed(&default_exchange(), &queue, b"x").mandatory().await?;
    there.close().await?;
    assert_eq!(conn.open_channel().await?.purge(&queue).await?, 1);
    Ok(())
}
