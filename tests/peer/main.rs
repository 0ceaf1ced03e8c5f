//! Queues between brokers, over an embedded broker, over RabbitMQ and within this process.

use std::{error::Error, future::Future, time::Duration};

use hopmq::{
    Config, Message, Open,
    broker::{Broker, Listening},
    peer::{MessageQueue, Peer, Settings},
};

mod alarms;
mod closing;
mod connecting;
mod cuts;
mod in_process;
mod many;
mod order;
mod secured;
mod talking;

#[path = "../node/mod.rs"]
mod node;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Nothing here takes nearly as long.
const LONG: Duration = Duration::from_secs(120);

/// Makes each behaviour, a function of where peers meet, a test at both brokers.
macro_rules! at_both_brokers {
    ($($name:ident),+ $(,)?) => {
        mod embedded {$(
            #[tokio::test]
            async fn $name() -> $crate::Outcome {
                $crate::soon(super::$name($crate::Place::embedded().await?)).await
            }
        )+}
        mod rabbitmq {$(
            #[tokio::test]
            #[ignore = "needs RabbitMQ: run tests/run"]
            async fn $name() -> $crate::Outcome {
                $crate::soon(super::$name($crate::Place::rabbitmq()?)).await
            }
        )+}
    };
}
use at_both_brokers;

async fn soon(behaviour: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(LONG, behaviour).await?
}

/// Where peers meet.
struct Place {
    config: Config,
    broker: Option<Broker<Listening>>,
}

impl Place {
    async fn embedded() -> Outcome<Place> {
        let broker = Broker::bind("127.0.0.1:0").await?;
        Ok(Place { config: broker.uri().parse()?, broker: Some(broker) })
    }

    fn rabbitmq() -> Outcome<Place> {
        Ok(Place { config: Config::from_env("HOPMQ_TEST_AMQP_URL")?, broker: None })
    }

    /// A peer of a name that nobody else has, that listens.
    async fn listening(&self, name: &str, settings: Settings) -> Outcome<Peer> {
        let peer = Peer::with_settings(unique(name), settings);
        match &self.broker {
            Some(broker) => peer.listen_on(broker).await?,
            None => peer.listen_at(self.config.clone()).await?,
        }
        Ok(peer)
    }

    /// Both sides of a queue; the peers stay with the caller.
    async fn pair(&self, settings: Settings) -> Outcome<Pair> {
        let shop = self.listening("shop", settings).await?;
        let till = Peer::with_settings(unique("till"), settings);
        let ours = till.connect(shop.name()).at(self.config.clone()).await?;
        let theirs = shop.accept().await;
        Ok(Pair { till, shop, ours, theirs })
    }
}

/// Two peers and the queue between them.
struct Pair {
    till: Peer,
    shop: Peer,
    ours: MessageQueue<Open>,
    theirs: MessageQueue<Open>,
}

fn unique(name: &str) -> String {
    use std::{
        process,
        sync::atomic::{AtomicU32, Ordering},
    };
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn number(number: u32) -> Message {
    Message::new(number.to_be_bytes())
}

fn read(message: &Message) -> u32 {
    let body = message.body().clone().into_bytes();
    u32::from_be_bytes(body.as_ref().try_into().expect("four bytes"))
}

/// Receives that many and asserts that they come in order, from `first` on.
async fn receive_in_order(queue: &MessageQueue<Open>, first: u32, count: u32) -> Outcome {
    for expected in first..first + count {
        let message = queue.receive().await.ok_or_else(|| format!("{:?}", queue.end()))?;
        assert_eq!(read(&message), expected);
    }
    Ok(())
}

/// Sends that many, and waits until the other side has taken them all.
async fn send_all(queue: &MessageQueue<Open>, first: u32, count: u32) -> Outcome {
    let mut outcomes = Vec::new();
    for next in first..first + count {
        outcomes.push(queue.send(number(next)).await?);
    }
    for outcome in outcomes {
        outcome.await?;
    }
    Ok(())
}
