//! The rows of kind `runtime`: typed errors, and what lives on after them.

use std::time::Duration;

use hopmq::{
    Config, Conn, ConnectionState, Error, Exchange, Queue, Uri,
    broker::{Broker, Listening},
    fsm::supervisor::{Backoff, Policy},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn config(broker: &Broker<Listening>) -> Config {
    let millis = Duration::from_millis;
    let backoff = Backoff::exponential(millis(5), millis(50));
    let policy = Policy { backoff, breaker: None, ..Policy::default() };
    Config::from(broker.uri().parse::<Uri>().expect("the broker's own address")).recovery(policy)
}

#[tokio::test]
async fn row_3_a_delivery_from_before_a_reconnect_is_stale() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = Conn::new(config(&broker)).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.publish_unconfirmed(&Exchange::default_exchange(), &inbox, b"one").await?;
    let early = chan.get(&inbox).await?.ok_or("nothing there")?;

    let mut changes = conn.state_changes();
    broker.faults().cut_connections();
    let patience = Duration::from_secs(20);
    loop {
        let change = tokio::time::timeout(patience, changes.next()).await?.ok_or("ended")?;
        if change.from == ConnectionState::Recovering && change.to == ConnectionState::Connected {
            break;
        }
    }
    assert!(matches!(early.ack(), Err(Error::Stale)));
    // The broker has put it back, and the channel is as it was.
    let again = chan.get(&inbox).await?.ok_or("nothing there")?;
    assert!(again.is_redelivered());
    again.ack()?;
    assert_eq!(chan.counts(&inbox).await?.messages, 0);
    Ok(())
}

#[tokio::test]
async fn row_29_declaring_again_otherwise_names_what_differs() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    inequivalent(broker.uri().parse()?).await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn row_29_declaring_again_otherwise_names_what_differs_on_rabbitmq() -> Outcome {
    inequivalent(std::env::var("HOPMQ_TEST_AMQP_URL")?.parse()?).await
}

async fn inequivalent(uri: Uri) -> Outcome {
    const NAME: &str = "hopmq.misuse.row29";
    let conn = Conn::new(uri).connect().await?;
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::quorum(NAME).max_length(10)).await?;
    let error = chan.declare(Queue::quorum(NAME).max_length(20)).await.expect_err("it differs");
    let differs = error.inequivalent().ok_or("the broker says what differs")?;
    assert_eq!(differs.argument, "x-max-length");
    assert_eq!((differs.received, differs.current), (Some("20"), Some("10")));
    assert!(differs.entity.contains(NAME), "{differs:?}");

    // The broker closed the channel, and that alone.
    let chan = chan.into_closed().map_err(|_| "open")?.reopen().await?;
    chan.delete_queue(&inbox).await?;
    Ok(())
}

#[tokio::test]
async fn row_46_more_channels_than_were_negotiated() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let conn = Conn::new(config(&broker).channel_max(1)).connect().await?;
    let only = conn.open_channel().await?;
    let error = conn.open_channel().await.expect_err("one too many");
    assert!(matches!(error, Error::TooManyChannels { max: 1 }), "{error:?}");
    // Nothing was sent: the connection and its channel live, and an id that is free is given again.
    only.declare(Queue::server_named()).await?;
    only.close().await?;
    conn.open_channel().await?.close().await?;
    Ok(())
}
