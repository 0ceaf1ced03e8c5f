//! The rows of kind `value`: refused before a byte is sent, so that the channel lives.

use std::time::Duration;

use hopmq::{
    Chan, Config, Conn, Connected, Error, Exchange, Limits, Message, Open, Queue, Topic, Uri,
    UsageError,
    broker::{Broker, Listening},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A connection that publishes bodies of up to eight bytes, with a channel.
async fn connect(broker: &Broker<Listening>) -> Result<(Conn<Connected>, Chan<Open>), Error> {
    let uri: Uri = broker.uri().parse().expect("the broker's own address");
    let mut limits = Limits::default();
    limits.body_size = 8;
    let conn = Conn::new(Config::from(uri).limits(limits)).connect().await?;
    let chan = conn.open_channel().await?;
    Ok((conn, chan))
}

fn usage<T>(outcome: Result<T, impl Into<Error>>) -> UsageError {
    match outcome.map_err(Into::into) {
        Err(Error::Usage(usage)) => usage,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

/// The channel answers, so the broker was not offended.
async fn lives(chan: &Chan<Open>) {
    let inbox = chan.declare(Queue::server_named()).await.expect("the channel lives");
    assert_eq!(chan.counts(&inbox).await.expect("the channel lives").messages, 0);
}

#[tokio::test]
async fn row_27_a_bad_argument_value() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let (_conn, chan) = connect(&broker).await?;
    let expires = Queue::quorum("inbox").expires(Duration::ZERO);
    let age = Queue::stream("log").max_age(Duration::ZERO);
    let segment = Queue::stream("log").max_segment_bytes(0);
    for (refused, argument) in [
        (usage(chan.declare(expires).await), "x-expires"),
        (usage(chan.declare(age).await), "x-max-age"),
        (usage(chan.declare(segment).await), "x-stream-max-segment-size-bytes"),
    ] {
        let UsageError::BadArgument { argument: found, .. } = &refused else { panic!("{refused}") };
        assert_eq!(found.as_str(), argument);
    }
    lives(&chan).await;
    Ok(())
}

#[tokio::test]
async fn row_31_an_empty_queue_name() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let (_conn, chan) = connect(&broker).await?;
    let empty = UsageError::EmptyName { what: "queue name" };
    assert_eq!(usage(chan.declare(Queue::classic("")).await), empty);
    assert_eq!(usage(chan.declare(Queue::classic("").passive()).await), empty);
    assert_eq!(usage(chan.declare(Queue::server_named().passive()).await), empty);
    lives(&chan).await;
    Ok(())
}

#[tokio::test]
async fn row_34_a_reserved_name() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let (_conn, chan) = connect(&broker).await?;
    for refused in [
        usage(chan.declare(Queue::quorum("amq.inbox")).await),
        usage(chan.declare(Exchange::topic("amq.orders")).await),
        usage(chan.delete_exchange(&Exchange::amq_topic()).await),
    ] {
        assert!(matches!(refused, UsageError::ReservedName { .. }), "{refused}");
    }
    lives(&chan).await;
    Ok(())
}

#[tokio::test]
async fn row_44_a_message_over_the_limit() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let (conn, chan) = connect(&broker).await?;
    let publisher = conn.open_channel().await?.confirm_select().await?;
    let (default, inbox) =
        (Exchange::default_exchange(), chan.declare(Queue::server_named()).await?);
    let refused = publisher.publish(&default, &inbox, vec![0; 9]).await.expect_err("too large");
    let (error, message) = refused.into_parts();
    assert!(matches!(error, Error::Usage(UsageError::BodyTooLarge { size: 9, max: 8 })), "{error}");
    assert_eq!(message.body().len(), 9, "the message comes back");
    publisher.publish(&default, &inbox, vec![0; 8]).await?.await?;
    assert_eq!(chan.counts(&inbox).await?.messages, 1);
    Ok(())
}

#[tokio::test]
async fn row_48_more_than_255_bytes() -> Outcome {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let (_conn, chan) = connect(&broker).await?;
    let long = "x".repeat(256);
    let orders: Exchange<Topic> = Exchange::amq_topic();
    let inbox = chan.declare(Queue::server_named()).await?;
    let message = Message::new(b"").message_id(&long);
    for (refused, what) in [
        (usage(chan.declare(Queue::quorum(&long)).await), "queue name"),
        (usage(chan.declare(Exchange::topic(&long)).await), "exchange name"),
        (usage(chan.bind(&inbox, &orders, &long).await), "binding key"),
        (usage(chan.publish_unconfirmed(&orders, &long, b"one").await), "routing key"),
        (usage(chan.publish_unconfirmed(&orders, "key", message).await), "message-id"),
    ] {
        assert_eq!(refused, UsageError::NameTooLong { what, len: 256 });
    }
    lives(&chan).await;
    Ok(())
}
