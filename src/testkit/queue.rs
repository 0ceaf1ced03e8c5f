//! Assertions about one queue.

use std::time::Duration;

use super::{KitError, TestKit, counted};
use crate::{
    broker::{MessageInfo, QueueInfo},
    error::Error,
    message::Message,
    queue::{Classic, Queue},
    wire::{Properties, Value},
};

/// As many messages are looked at, and as many are shown.
const LOOK: usize = 10_000;
const SHOWN: usize = 5;

/// As much of a body is shown.
const LONGEST: usize = 60;

/// A queue of which something is asserted. Made by [`TestKit::queue`].
///
/// Each assertion waits until it holds, up to the kit's [patience](TestKit::patience).
#[derive(Clone, Debug)]
#[must_use = "say what the queue should have"]
pub struct QueueCheck<'a> {
    kit: &'a TestKit,
    vhost: String,
    name: String,
}

impl<'a> QueueCheck<'a> {
    pub(super) fn new(kit: &'a TestKit, name: String) -> Self {
        QueueCheck { kit, vhost: "/".to_owned(), name }
    }

    /// The queue of that name in another virtual host.
    pub fn in_vhost(mut self, vhost: impl Into<String>) -> Self {
        self.vhost = vhost.into();
        self
    }

    /// It exists.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with the queues that do.
    pub async fn exists(&self) -> Result<(), KitError> {
        self.until("to exist", |_| true).await
    }

    /// It does not exist, or no more.
    ///
    /// # Errors
    /// [`KitError::NotSo`].
    pub async fn is_gone(&self) -> Result<(), KitError> {
        let expected = || self.expected("to be gone");
        self.kit.until(expected, || self.info().map_or(Ok(()), |info| Err(self.shown(&info)))).await
    }

    /// That many messages are ready in it; not counted are those that a consumer has and has not
    /// settled.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn has(&self, messages: u64) -> Result<(), KitError> {
        let expected = format!("to have {}", counted(messages, "message"));
        self.until(&expected, |info| info.ready == messages).await
    }

    /// No message is ready in it.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn is_empty(&self) -> Result<(), KitError> {
        self.until("to be empty", |info| info.ready == 0).await
    }

    /// That many messages are ready in it, and stay so for that time: the only way to see that
    /// something does *not* happen.
    ///
    /// # Errors
    /// [`KitError::NotSoAnyMore`], with what it has.
    pub async fn keeps(&self, messages: u64, time: Duration) -> Result<(), KitError> {
        let expected = || self.expected(&format!("to keep {}", counted(messages, "message")));
        self.kit.throughout(time, expected, || self.look(|info| info.ready == messages)).await
    }

    /// Exactly these bodies are ready in it, in this order.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn holds<B: AsRef<[u8]>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
    ) -> Result<(), KitError> {
        let bodies: Vec<B> = bodies.into_iter().collect();
        let shown: Vec<_> = bodies.iter().take(SHOWN).map(|body| text(body.as_ref())).collect();
        let expected =
            format!("to hold {}: {}", counted(bodies.len(), "message"), shown.join(", "));
        self.until(&expected, |_| {
            let found = self.messages();
            let found = found.iter().map(|message| message.body.as_ref());
            found.eq(bodies.iter().map(AsRef::as_ref))
        })
        .await
    }

    /// A message is ready in it that was published to this exchange with this routing key.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn has_one_from(&self, exchange: &str, routing_key: &str) -> Result<(), KitError> {
        let expected = format!("to have a message from '{exchange}' with key '{routing_key}'");
        self.until(&expected, |_| {
            let found = self.messages();
            found.iter().any(|one| one.exchange == exchange && one.routing_key == routing_key)
        })
        .await
    }

    /// That many messages are ready in it that were dead-lettered from this queue.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn has_dead_letters(&self, count: usize, from: &str) -> Result<(), KitError> {
        let expected = format!("to have {} from queue '{from}'", counted(count, "dead letter"));
        self.until(&expected, |_| {
            let dead = self.messages();
            dead.iter().filter(|one| died_in(&one.properties, from)).count() == count
        })
        .await
    }

    /// Consumers have that many messages of it that they have not settled.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn has_unsettled(&self, messages: u64) -> Result<(), KitError> {
        let expected = format!("to have {messages} unsettled");
        self.until(&expected, |info| info.unacked == messages).await
    }

    /// It has that many consumers.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what it has.
    pub async fn has_consumers(&self, consumers: usize) -> Result<(), KitError> {
        let expected = format!("to have {}", counted(consumers, "consumer"));
        self.until(&expected, |info| info.consumers.len() == consumers).await
    }

    /// Puts a message into it, and waits until the broker has confirmed it. The queue is one in the
    /// virtual host `/`.
    ///
    /// # Errors
    /// [`KitError::NotSo`] when it does not come to exist, and [`KitError::Client`].
    pub async fn put(&self, message: impl Into<Put>) -> Result<(), KitError> {
        self.exists().await?;
        let Put(message) = message.into();
        self.kit.answer("put a message into the queue", self.kit.put(&self.name, message)).await
    }

    /// Takes the next message out of it, as a consumer would, and acknowledges it. The queue is one
    /// in the virtual host `/`, and no stream.
    ///
    /// # Errors
    /// [`KitError::NotSo`] when there is none in time, and [`KitError::Client`].
    pub async fn next(&self) -> Result<Message, KitError> {
        let expected = || self.expected("to have a message to take");
        // Somebody else may be faster: then it is waited for again.
        loop {
            self.kit.until(expected, || self.look(|info| info.ready > 0)).await?;
            if let Some(message) = self.kit.answer("take a message", self.get()).await? {
                return Ok(message);
            }
        }
    }

    async fn get(&self) -> Result<Option<Message>, Error> {
        let conn = self.kit.conn();
        // The broker compares no kinds here; `get` is the same for all that have it.
        let Some(queue) = conn.find(Queue::<Classic>::classic(&self.name)).await? else {
            return Ok(None);
        };
        let chan = conn.open_channel().await?;
        let Some(delivery) = chan.get(&queue).await? else { return Ok(None) };
        let (received, receipt) = delivery.into_parts();
        receipt.ack()?;
        chan.close().await?;
        Ok(Some(received.into_message()))
    }

    async fn until(
        &self,
        expected: &str,
        holds: impl Fn(&QueueInfo) -> bool,
    ) -> Result<(), KitError> {
        self.kit.until(|| self.expected(expected), || self.look(&holds)).await
    }

    fn look(&self, holds: impl Fn(&QueueInfo) -> bool) -> Result<(), String> {
        match self.info() {
            Some(info) if holds(&info) => Ok(()),
            Some(info) => Err(self.shown(&info)),
            None => Err(self.missing()),
        }
    }

    fn info(&self) -> Option<QueueInfo> {
        self.kit.broker.queue(&self.vhost, &self.name)
    }

    fn messages(&self) -> Vec<MessageInfo> {
        self.kit.broker.messages(&self.vhost, &self.name, LOOK)
    }

    fn expected(&self, what: &str) -> String {
        format!("queue '{}' {what}", self.name)
    }

    fn missing(&self) -> String {
        let queues = self.kit.broker.queues(&self.vhost);
        let names: Vec<_> = queues.iter().map(|queue| format!("'{}'", queue.name)).collect();
        match names.is_empty() {
            true => "there is no queue at all".to_owned(),
            false => format!("there is none; there are {}", names.join(", ")),
        }
    }

    fn shown(&self, info: &QueueInfo) -> String {
        let mut ready: Vec<String> = self
            .kit
            .broker
            .messages(&self.vhost, &self.name, SHOWN)
            .iter()
            .map(|message| {
                let MessageInfo { exchange, routing_key, body, .. } = message;
                match exchange.is_empty() {
                    true => text(body),
                    false => format!("{} from '{exchange}' with key '{routing_key}'", text(body)),
                }
            })
            .collect();
        if info.ready > ready.len() as u64 {
            ready.push("...".to_owned());
        }
        let ready = match ready.is_empty() {
            true => String::new(),
            false => format!(" ({})", ready.join(", ")),
        };
        let consumers = counted(info.consumers.len(), "consumer");
        format!("it has {} ready{ready}, {} unsettled and {consumers}", info.ready, info.unacked)
    }
}

/// A message to be put into a queue: a [`Message`], or a text.
#[derive(Clone, Debug)]
pub struct Put(Message);

impl From<Message> for Put {
    fn from(message: Message) -> Self {
        Put(message)
    }
}

impl From<&str> for Put {
    fn from(text: &str) -> Self {
        Put(Message::text(text))
    }
}

impl From<String> for Put {
    fn from(text: String) -> Self {
        Put(Message::text(text))
    }
}

/// Whether `x-death` names the queue (<https://www.rabbitmq.com/docs/dlx#effects>).
fn died_in(properties: &Properties, queue: &str) -> bool {
    let deaths = properties.headers.as_ref().and_then(|headers| headers.get("x-death").ok()?);
    let Some(Value::Array(deaths)) = deaths else { return false };
    deaths.iter().any(|death| match death {
        Value::Table(death) => death.get("queue").and_then(Value::as_str) == Some(queue),
        _ => false,
    })
}

/// A body as a test reads it.
fn text(body: &[u8]) -> String {
    let shown = String::from_utf8_lossy(body);
    match shown.char_indices().nth(LONGEST) {
        None => format!("{shown:?}"),
        Some((end, _)) => format!("{:?}...", shown.get(..end).unwrap_or_default()),
    }
}
