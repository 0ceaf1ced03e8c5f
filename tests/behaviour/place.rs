//! Where a behaviour is shown: a broker, names that nobody else uses there, and a watchdog.

use std::{
    error::Error,
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hopmq::{
    Chan, Config, Confirming, Conn, Connected, Consumer, Delivery, Direct, Exchange, Message, Open,
    Queue, Received,
    broker::{Broker, Listening},
    exchange::DefaultExchange,
    queue::QueueKind,
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// No behaviour takes that long: what does hangs.
const WATCHDOG: Duration = Duration::from_secs(240);

/// Makes each behaviour a test on both brokers.
macro_rules! on_both_brokers {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $name() {
                    $crate::place::on_embedded(super::$name).await;
                }
            )+
        }

        mod rabbitmq {
            $(
                #[tokio::test]
                #[ignore = "needs RabbitMQ: run tests/run"]
                async fn $name() {
                    $crate::place::on_rabbitmq(super::$name).await;
                }
            )+
        }
    };
}

/// Makes each behaviour a test on the embedded broker alone: it needs a fault that only that has on demand.
macro_rules! on_the_embedded_broker {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $name() {
                    $crate::place::on_embedded(super::$name).await;
                }
            )+
        }
    };
}

/// A broker and a test's own names on it.
#[derive(Clone)]
pub(crate) struct Place {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    broker: Option<Broker<Listening>>,
    prefix: String,
    names: Mutex<Vec<String>>,
}

pub(crate) async fn on_embedded<F: Future<Output = Outcome> + 'static>(
    behaviour: impl FnOnce(Place) -> F,
) {
    let broker = Broker::bind("127.0.0.1:0").await.expect("a free port");
    let config = broker.uri().parse().expect("the broker's own address");
    Place::new(config, Some(broker)).show(behaviour).await;
}

pub(crate) async fn on_rabbitmq<F: Future<Output = Outcome> + 'static>(
    behaviour: impl FnOnce(Place) -> F,
) {
    let config = Config::from_env("HOPMQ_TEST_AMQP_URL").expect("tests/run sets it");
    let place = Place::new(config, None);
    let cleaning = place.clone();
    place.show(behaviour).await;
    cleaning.clean().await.expect("what was declared can be deleted");
}

impl Place {
    fn new(config: Config, broker: Option<Broker<Listening>>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("hopmq.test.{:x}.{number}", since.as_nanos());
        Place { inner: Arc::new(Inner { config, broker, prefix, names: Mutex::default() }) }
    }

    async fn show<F: Future<Output = Outcome> + 'static>(self, behaviour: impl FnOnce(Place) -> F) {
        let shown = tokio::time::timeout(WATCHDOG, behaviour(self.clone()));
        // As a task, so that a panic comes back here.
        let tasks = tokio::task::LocalSet::new();
        let failure = match tasks.run_until(async { tokio::task::spawn_local(shown).await }).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => format!("{error:?}"),
            Ok(Err(_)) => format!("it hangs: no end within {WATCHDOG:?}"),
            Err(panicked) => {
                let _ = self.clean().await;
                resume_unwind(panicked.into_panic());
            }
        };
        let _ = self.clean().await;
        panic!("{failure}");
    }

    /// Deletes what the test may have left behind; an embedded broker takes it along.
    async fn clean(&self) -> Outcome {
        if self.inner.broker.is_some() {
            return Ok(());
        }
        let names = std::mem::take(&mut *self.inner.names.lock().expect("unpoisoned"));
        let conn = self.conn().await?;
        for name in names {
            let chan = conn.open_channel().await?;
            chan.delete_exchange(&Exchange::<Direct>::by_name(&name)?).await?;
            // Asking for a queue that is gone closes the channel.
            if let Ok(queue) = chan.declare(Queue::classic(&name).passive()).await {
                chan.delete_queue(&queue).await?;
            }
        }
        conn.close().await?;
        Ok(())
    }

    /// The embedded broker, for what only that can be told to do.
    pub(crate) fn broker(&self) -> &Broker<Listening> {
        self.inner.broker.as_ref().expect("a behaviour of the embedded broker alone")
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.inner.broker.is_some()
    }

    /// How to connect there.
    pub(crate) fn config(&self) -> Config {
        self.inner.config.clone()
    }

    pub(crate) async fn conn(&self) -> Outcome<Conn<Connected>> {
        Ok(Conn::new(self.config()).connect().await?)
    }

    /// A channel on a connection of its own.
    pub(crate) async fn chan(&self) -> Outcome<Chan<Open>> {
        Ok(self.conn().await?.open_channel().await?)
    }

    /// A confirming channel on a connection of its own.
    pub(crate) async fn publisher(&self) -> Outcome<Chan<Confirming>> {
        Ok(self.chan().await?.confirm_select().await?)
    }

    /// A name for an exchange or a queue that no other test uses; what has it is deleted at the end.
    pub(crate) fn name(&self, what: &str) -> String {
        let name = format!("{}.{what}", self.inner.prefix);
        self.inner.names.lock().expect("unpoisoned").push(name.clone());
        name
    }
}

pub(crate) fn default_exchange() -> Exchange<DefaultExchange> {
    Exchange::default_exchange()
}

/// Publishes to a queue, one after the other, each confirmed.
pub(crate) async fn fill<K: QueueKind>(
    publisher: &Chan<Confirming>,
    queue: &Queue<K>,
    bodies: &[&str],
) -> Outcome {
    for body in bodies {
        let message = Message::text(body);
        publisher.publish(&default_exchange(), queue, message).mandatory().await?.await?;
    }
    Ok(())
}

/// The next delivery; that the consumer ended instead is a failure.
pub(crate) async fn take(consumer: &mut Consumer) -> Outcome<Delivery> {
    Ok(consumer.next().await.ok_or("the consumer ended")??)
}

/// Bodies of the next deliveries, which are acked.
pub(crate) async fn take_texts(consumer: &mut Consumer, count: usize) -> Outcome<Vec<String>> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = take(consumer).await?;
        texts.push(text(&delivery));
        delivery.ack()?;
    }
    Ok(texts)
}

pub(crate) fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.body().into_bytes()).into_owned()
}

/// Asks the broker again until it holds: what one process of a broker has done another may learn later.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    while !holds().await? {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Whether the future is still waiting when it is polled once. Nothing is lost: it is given back.
pub(crate) async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx)))
        .await
        .is_pending()
}
