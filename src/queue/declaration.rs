//! The builder of queue declarations: per kind exactly what RabbitMQ 3.10 to 4.x allows.

use std::{
    fmt,
    marker::PhantomData,
    num::NonZeroU16,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    CanBeSingleActive, Counts, DeadLetter, LeaderLocator, Overflow, Queue, QueueKind, SingleActive,
    TakesClassicOptions, TakesQueueOptions, TakesQuorumOptions, TakesReplicaOptions,
    TakesStreamOptions,
};
use crate::{
    arguments::Arguments,
    driver::Renamed,
    name::{Declare, Name, Passive, Realm},
    proto::{QueueSpec, Reply, Request},
    sealed::Sealed,
    usage::UsageError,
    wire::{ShortString, Value},
};

/// RabbitMQ's bound (`MAX_STREAM_MAX_SEGMENT_SIZE`).
const SEGMENT_MAX: u64 = 3_000_000_000;

/// A queue to be declared, of the kind `K`.
///
/// Which options there are depends on the kind, as the broker has it; the compiler says which kind
/// an option needs.
///
/// ```
/// use std::time::Duration;
/// use hopmq::{Overflow, Queue};
///
/// let inbox = Queue::quorum("inbox").delivery_limit(5).max_length(100_000);
/// let replies = Queue::classic("replies").exclusive().message_ttl(Duration::from_secs(30));
/// let log = Queue::stream("log").max_age(Duration::from_secs(7 * 24 * 3600));
/// # let _ = (inbox, replies, log, Overflow::DropHead);
/// ```
#[must_use = "nothing is declared until it is given to `chan.declare(..)`"]
pub struct QueueDeclaration<K> {
    /// `None`: the broker chooses.
    name: Option<Name>,
    exclusive: bool,
    auto_delete: bool,
    arguments: Arguments,
    overflow: Option<Overflow>,
    at_least_once: bool,
    kind: PhantomData<fn() -> K>,
}

impl<K: QueueKind> QueueDeclaration<K> {
    pub(super) fn new(name: Name) -> Self {
        let mut arguments = Arguments::default();
        // Said for classic queues too: the virtual host may have another default.
        arguments.set("x-queue-type", K::TYPE);
        QueueDeclaration {
            name: Some(name),
            exclusive: false,
            auto_delete: false,
            arguments,
            overflow: None,
            at_least_once: false,
            kind: PhantomData,
        }
    }

    pub(super) fn server_named() -> Self {
        let mut declaration = Self::new(Name::literal(""));
        declaration.name = None;
        declaration.exclusive = true;
        declaration
    }

    /// It belongs to the connection that declares it, is not durable and ends with the connection.
    pub fn exclusive(mut self) -> Self
    where
        K: TakesClassicOptions,
    {
        self.exclusive = true;
        self
    }

    /// It is deleted once its last consumer has left. One that never had a consumer stays.
    pub fn auto_delete(mut self) -> Self
    where
        K: TakesClassicOptions,
    {
        self.auto_delete = true;
        self
    }

    /// It has priorities from 0 to `highest`; each costs the broker memory, so few are better
    /// (<https://www.rabbitmq.com/docs/priority>).
    pub fn max_priority(mut self, highest: u8) -> Self
    where
        K: TakesClassicOptions,
    {
        self.arguments.set_number("x-max-priority", highest.into());
        self
    }

    /// It gives messages to one of its consumers only, and to the next when that leaves.
    pub fn single_active_consumer(mut self) -> QueueDeclaration<SingleActive<K>>
    where
        K: CanBeSingleActive,
    {
        self.arguments.set("x-single-active-consumer", true);
        QueueDeclaration {
            name: self.name,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            arguments: self.arguments,
            overflow: self.overflow,
            at_least_once: self.at_least_once,
            kind: PhantomData,
        }
    }

    /// It holds at most that many messages; see [`QueueDeclaration::overflow`].
    pub fn max_length(mut self, messages: u64) -> Self
    where
        K: TakesQueueOptions,
    {
        self.arguments.set_number("x-max-length", messages);
        self
    }

    /// It holds at most that many bytes of bodies; a stream forgets its oldest segments.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.arguments.set_number("x-max-length-bytes", bytes);
        self
    }

    /// What it does with the next message when it is full.
    pub fn overflow(mut self, overflow: Overflow) -> Self
    where
        K: TakesQueueOptions,
    {
        self.overflow = Some(overflow);
        self
    }

    /// When full, it refuses the next message and dead-letters it as well.
    pub fn reject_and_dead_letter(mut self, dead_letter: DeadLetter) -> Self
    where
        K: TakesClassicOptions,
    {
        self.overflow = None;
        self.set_dead_letter(dead_letter);
        self.arguments.set("x-overflow", "reject-publish-dlx");
        self
    }

    /// Its messages expire after that time; at zero, unless they can be delivered at once.
    pub fn message_ttl(mut self, after: Duration) -> Self
    where
        K: TakesQueueOptions,
    {
        self.arguments.set_millis("x-message-ttl", after);
        self
    }

    /// The queue itself is deleted after that time without consumers, declarations and gets.
    pub fn expires(mut self, unused_for: Duration) -> Self
    where
        K: TakesQueueOptions,
    {
        match unused_for.is_zero() {
            true => self.arguments.fail("x-expires", "must be more than zero"),
            false => self.arguments.set_millis("x-expires", unused_for),
        }
        self
    }

    /// Where it sends messages that were rejected, expired, delivered too often or displaced.
    /// They are sent at most once: what cannot be routed is lost.
    pub fn dead_letter(mut self, dead_letter: DeadLetter) -> Self
    where
        K: TakesQueueOptions,
    {
        self.set_dead_letter(dead_letter);
        self
    }

    /// As [`QueueDeclaration::dead_letter`], and it keeps each message until the target queue has
    /// confirmed it. That wants [`Overflow::RejectPublish`], which is set with it: with another
    /// the broker would fall back to at most once and only log it
    /// (<https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering>).
    pub fn dead_letter_at_least_once(mut self, dead_letter: DeadLetter) -> Self
    where
        K: TakesQuorumOptions,
    {
        self.set_dead_letter(dead_letter);
        self.arguments.set("x-dead-letter-strategy", "at-least-once");
        self.at_least_once = true;
        self
    }

    /// A message that was returned more often than that is dropped, or dead-lettered.
    pub fn delivery_limit(mut self, returns: u32) -> Self
    where
        K: TakesQuorumOptions,
    {
        self.arguments.set_number("x-delivery-limit", returns.into());
        self
    }

    /// On how many nodes it has a replica at first.
    pub fn initial_group_size(mut self, nodes: NonZeroU16) -> Self
    where
        K: TakesReplicaOptions,
    {
        self.arguments.set_number(K::GROUP_SIZE, nodes.get().into());
        self
    }

    /// Which node leads it at first.
    pub fn leader_locator(mut self, locator: LeaderLocator) -> Self
    where
        K: TakesReplicaOptions,
    {
        self.arguments.set("x-queue-leader-locator", locator.as_str());
        self
    }

    /// It forgets segments whose messages are all older than that. The broker counts in seconds:
    /// parts of one are rounded up.
    pub fn max_age(mut self, age: Duration) -> Self
    where
        K: TakesStreamOptions,
    {
        match seconds(age) {
            0 => self.arguments.fail("x-max-age", "must be more than zero"),
            seconds => self.arguments.set("x-max-age", format!("{seconds}s")),
        }
        self
    }

    /// How large a segment gets, which is what retention forgets at once: 1 to 3,000,000,000
    /// bytes.
    pub fn max_segment_bytes(mut self, bytes: u64) -> Self
    where
        K: TakesStreamOptions,
    {
        let name = "x-stream-max-segment-size-bytes";
        match bytes {
            1..=SEGMENT_MAX => self.arguments.set_number(name, bytes),
            _ => self.arguments.fail(name, "must be from 1 to 3,000,000,000"),
        }
        self
    }

    /// The size of the filter that each chunk has for its messages' filter values: 16 to 255
    /// bytes. RabbitMQ knows it from 3.13 on (<https://www.rabbitmq.com/docs/streams#filtering>).
    pub fn filter_bytes(mut self, bytes: u8) -> Self
    where
        K: TakesStreamOptions,
    {
        let name = "x-stream-filter-size-bytes";
        match bytes {
            16.. => self.arguments.set_number(name, bytes.into()),
            _ => self.arguments.fail(name, "must be from 16 to 255"),
        }
        self
    }

    /// Sets an argument that this library does not know. **An escape**: nothing is checked, and
    /// one that the broker does not allow for the queue's type closes the channel with 406.
    pub fn raw_argument(mut self, name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        self.arguments.set(name, value);
        self
    }

    /// Only asks whether it exists: see [`Passive`].
    pub fn passive(self) -> Passive<Self> {
        Passive(self)
    }

    fn set_dead_letter(&mut self, dead_letter: DeadLetter) {
        let DeadLetter { exchange, realm, key } = dead_letter;
        self.arguments.set_token("x-dead-letter-exchange", exchange, realm.as_ref());
        self.arguments.remove("x-dead-letter-routing-key");
        match key {
            Some(Ok(key)) => self.arguments.set("x-dead-letter-routing-key", &key),
            Some(Err(error)) => self.arguments.note::<()>(Err(error)),
            None => {}
        }
    }

    /// The arguments with what follows from several options together.
    fn all_arguments(&self) -> Result<Arguments, UsageError> {
        let mut arguments = self.arguments.clone();
        let overflow = match (self.at_least_once, self.overflow) {
            (true, Some(Overflow::DropHead)) => {
                let problem = "dead-lettering at least once wants `Overflow::RejectPublish`";
                return Err(UsageError::bad("x-overflow", problem));
            }
            (true, None) => Some(Overflow::RejectPublish),
            (_, overflow) => overflow,
        };
        if let Some(overflow) = overflow {
            arguments.set("x-overflow", overflow.as_str());
        }
        Ok(arguments)
    }

    fn spec(
        &self,
        name: ShortString,
        realm: &Arc<Realm>,
        passive: bool,
    ) -> Result<Request, UsageError> {
        Ok(Request::DeclareQueue(QueueSpec {
            name,
            passive,
            // RabbitMQ 4 denies what is neither durable nor exclusive (541).
            durable: !self.exclusive,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            arguments: self.all_arguments()?.encode(realm)?,
        }))
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl<K> Sealed for QueueDeclaration<K> {}

impl<K: QueueKind> Declare for QueueDeclaration<K> {
    type Token = Queue<K>;

    fn request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        let name = match &self.name {
            Some(name) => name.to_declare("queue name")?,
            None => ShortString::EMPTY,
        };
        self.spec(name, realm, false)
    }

    fn passive_request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        match &self.name {
            Some(name) => self.spec(name.to_find("queue name")?, realm, true),
            // The broker would answer for the queue that the channel declared last.
            None => Err(UsageError::EmptyName { what: "queue name" }),
        }
    }

    fn name_holder(token: &Queue<K>) -> Option<Weak<dyn Renamed>> {
        token.name_holder()
    }

    fn token(self, realm: &Arc<Realm>, connection: u64, reply: &Reply) -> Queue<K> {
        let name = match (reply, &self.name) {
            (Reply::Declared { name, .. }, _) => name.clone(),
            (_, Some(name)) => name.to_find("queue name").unwrap_or_default(),
            (_, None) => ShortString::EMPTY,
        };
        let owner = self.exclusive.then_some(connection);
        let counts = Counts::from_reply(reply);
        let (chosen, realm) = (self.name.is_none(), realm.clone());
        Queue::declared(name, chosen, realm, owner, self.auto_delete, counts)
    }
}

impl<K> Clone for QueueDeclaration<K> {
    fn clone(&self) -> Self {
        QueueDeclaration {
            name: self.name.clone(),
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            arguments: self.arguments.clone(),
            overflow: self.overflow,
            at_least_once: self.at_least_once,
            kind: PhantomData,
        }
    }
}

impl<K: QueueKind> fmt::Debug for QueueDeclaration<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueDeclaration<")?;
        K::label(f)?;
        write!(f, ">({:?})", self.name)
    }
}

#[cfg(test)]
mod tests;
