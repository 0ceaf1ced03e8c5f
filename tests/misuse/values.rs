//! The rows of kind `value`: refused before a byte is sent, so that the channel lives.

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hopmq::{
    Chan, Config, Conn, Connected, Error, Exchange, Limits, Message, Open, Queue, Topic, Uri,
    UsageError,
    broker::{Broker, Listening},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A broker behind a proxy that counts what the client sends, a connection that publishes bodies of
/// up to eight bytes, and a channel.
struct Counted {
    _broker: Broker<Listening>,
    sent: Arc<AtomicUsize>,
    conn: Conn<Connected>,
    chan: Chan<Open>,
}

impl Counted {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let proxy = TcpListener::bind("127.0.0.1:0").await?;
        let uri = format!("amqp://guest:guest@{}", proxy.local_addr()?).parse::<Uri>()?;
        let sent = Arc::<AtomicUsize>::default();
        let (address, counted) = (broker.address().to_string(), sent.clone());
        tokio::spawn(async move {
            let (client, _) = proxy.accept().await.expect("the client");
            let server = TcpStream::connect(address).await.expect("the broker");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let mut block = vec![0; 4096];
            while let Ok(len @ 1..) = from_client.read(&mut block).await {
                counted.fetch_add(len, Ordering::SeqCst);
                to_server.write_all(&block[..len]).await.expect("the broker reads");
            }
        });
        let mut limits = Limits::default();
        limits.body_size = 8;
        let conn = Conn::new(Config::from(uri).limits(limits)).connect().await?;
        let chan = conn.open_channel().await?;
        Ok(Counted { _broker: broker, sent, conn, chan })
    }

    /// What a round trip costs in bytes. The broker has answered, so the proxy has counted all that
    /// was sent before; and the channel answers, so the broker was not offended.
    async fn round_trip(&self) -> usize {
        let before = self.sent.load(Ordering::SeqCst);
        let queue = Queue::classic("mine").exclusive();
        self.chan.declare(queue).await.expect("the channel lives");
        self.sent.load(Ordering::SeqCst) - before
    }

    /// Runs what is refused, and checks that not a byte of it was sent.
    async fn silently<T>(&self, refused: impl Future<Output = T>) -> T {
        let alone = self.round_trip().await;
        let before = self.sent.load(Ordering::SeqCst);
        let outcome = refused.await;
        self.round_trip().await;
        assert_eq!(self.sent.load(Ordering::SeqCst) - before, alone, "something was sent");
        outcome
    }
}

fn usage<T>(outcome: Result<T, impl Into<Error>>) -> UsageError {
    match outcome.map_err(Into::into) {
        Err(Error::Usage(usage)) => usage,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn row_27_a_bad_argument_value() -> Outcome {
    let at = Counted::new().await?;
    let expires = Queue::quorum("inbox").expires(Duration::ZERO);
    let age = Queue::stream("log").max_age(Duration::ZERO);
    let segment = Queue::stream("log").max_segment_bytes(0);
    for (refused, argument) in [
        (usage(at.silently(at.chan.declare(expires)).await), "x-expires"),
        (usage(at.silently(at.chan.declare(age)).await), "x-max-age"),
        (usage(at.silently(at.chan.declare(segment)).await), "x-stream-max-segment-size-bytes"),
    ] {
        let UsageError::BadArgument { argument: found, .. } = &refused else { panic!("{refused}") };
        assert_eq!(found.as_str(), argument);
    }
    Ok(())
}

#[tokio::test]
async fn row_31_an_empty_queue_name() -> Outcome {
    let at = Counted::new().await?;
    let empty = UsageError::EmptyName { what: "queue name" };
    let server_named = Queue::server_named().passive();
    for refused in [
        usage(at.silently(at.chan.declare(Queue::classic(""))).await),
        usage(at.silently(at.chan.declare(Queue::classic("").passive())).await),
        usage(at.silently(at.chan.declare(server_named)).await),
    ] {
        assert_eq!(refused, empty);
    }
    Ok(())
}

#[tokio::test]
async fn row_34_a_reserved_name() -> Outcome {
    let at = Counted::new().await?;
    let topic = Exchange::amq_topic();
    for refused in [
        usage(at.silently(at.chan.declare(Queue::quorum("amq.inbox"))).await),
        usage(at.silently(at.chan.declare(Exchange::topic("amq.orders"))).await),
        usage(at.silently(at.chan.delete_exchange(&topic).into_future()).await),
    ] {
        assert!(matches!(refused, UsageError::ReservedName { .. }), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn row_44_a_message_over_the_limit() -> Outcome {
    let at = Counted::new().await?;
    let publisher = at.conn.open_channel().await?.confirm_select().await?;
    let inbox = at.chan.declare(Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    let refused = at.silently(publisher.publish(&default, &inbox, vec![0; 9])).await;
    let (error, message) = refused.expect_err("too large").into_parts();
    assert!(matches!(error, Error::Usage(UsageError::BodyTooLarge { size: 9, max: 8 })), "{error}");
    assert_eq!(message.body().len(), 9, "the message comes back");
    publisher.publish(&default, &inbox, vec![0; 8]).await?.await?;
    assert_eq!(at.chan.counts(&inbox).await?.messages, 1);
    Ok(())
}

#[tokio::test]
async fn row_48_more_than_255_bytes() -> Outcome {
    let at = Counted::new().await?;
    let (chan, long) = (&at.chan, "x".repeat(256));
    let orders: Exchange<Topic> = Exchange::amq_topic();
    let inbox = chan.declare(Queue::server_named()).await?;
    let message = Message::new(b"").message_id(&long);
    let (by_key, by_id) = (
        chan.publish_unconfirmed(&orders, &long, b"one"),
        chan.publish_unconfirmed(&orders, "key", message),
    );
    for (refused, what) in [
        (usage(at.silently(chan.declare(Queue::quorum(&long))).await), "queue name"),
        (usage(at.silently(chan.declare(Exchange::topic(&long))).await), "exchange name"),
        (usage(at.silently(chan.bind(&inbox, &orders, &long)).await), "binding key"),
        (usage(at.silently(by_key).await), "routing key"),
        (usage(at.silently(by_id).await), "message-id"),
    ] {
        assert_eq!(refused, UsageError::NameTooLong { what, len: 256 });
    }
    Ok(())
}
