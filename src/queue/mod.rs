//! Queues: the token that declaring gives, and the builder of declarations.

mod arguments;
mod declaration;
mod kind;
mod offset;

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError, Weak},
};

pub use arguments::{DeadLetter, LeaderLocator, Overflow};
pub use declaration::QueueDeclaration;
pub use kind::{
    CanBeSingleActive, CanConsumeAutomatically, CanConsumeExclusively, CanDeleteConditionally,
    CanGet, CanPurge, Classic, HasOffsets, Names, QueueKind, Quorum, SingleActive, Stream,
    TakesClassicOptions, TakesConsumerPriority, TakesQueueOptions, TakesQuorumOptions,
    TakesReplicaOptions, TakesStreamOptions, TheBroker,
};
pub use offset::{Offset, TimeUnit};

use crate::{
    driver::Renamed,
    name::{Name, Realm},
    proto::{QueueSpec, Reply, Request},
    usage::UsageError,
    wire::ShortString,
};

/// A queue of the kind `K`: the proof that this program declared it.
///
/// Cheap to clone; all clones share the name, which a recovery may change when the broker chose it.
/// Good on every connection to the broker and virtual host where it was declared, an exclusive
/// queue only on the connection that declared it; elsewhere a call says
/// [`UsageError::WrongBroker`] or [`UsageError::ForeignExclusiveQueue`] before anything is sent.
/// What it does not prove: that nobody deleted the queue since, and that permissions still allow
/// to use it.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Open>) -> Result<(), hopmq::Error> {
/// use hopmq::{Queue, queue::Quorum};
///
/// let inbox: Queue<Quorum> = chan.declare(Queue::quorum("inbox").delivery_limit(5)).await?;
/// assert_eq!(inbox.name(), "inbox");
/// # Ok(()) }
/// ```
pub struct Queue<K> {
    shared: Arc<Shared>,
    kind: PhantomData<fn() -> K>,
}

#[derive(Debug)]
struct Shared {
    name: QueueName,
    realm: Arc<Realm>,
    /// The connection that an exclusive queue belongs to.
    owner: Option<u64>,
    /// It goes when its last consumer does.
    auto_delete: bool,
    counts: Counts,
}

#[derive(Debug)]
enum QueueName {
    Given(ShortString),
    /// Chosen by the broker, and anew after a reconnect.
    Chosen(Mutex<ShortString>),
}

/// The name of a queue that the broker chose, as it is at any time.
#[derive(Clone, Debug)]
pub(crate) struct ChosenName(Arc<Shared>);

impl ChosenName {
    pub(crate) fn now(&self) -> ShortString {
        self.0.name.now()
    }
}

impl PartialEq for ChosenName {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ChosenName {}

impl QueueName {
    fn now(&self) -> ShortString {
        match self {
            QueueName::Given(name) => name.clone(),
            QueueName::Chosen(name) => name.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Renamed for Shared {
    fn renamed(&self, old: &ShortString, new: &ShortString) {
        if let QueueName::Chosen(known) = &self.name {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == *old {
                *known = new.clone();
            }
        }
    }
}

/// What a queue held when it was declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Messages ready for delivery.
    pub messages: u32,
    /// Active consumers.
    pub consumers: u32,
}

impl Counts {
    /// From queue.declare-ok.
    pub(crate) fn from_reply(reply: &Reply) -> Self {
        match reply {
            Reply::Declared { messages, consumers, .. } => {
                Counts { messages: *messages, consumers: *consumers }
            }
            _ => Counts::default(),
        }
    }
}

impl<K> Queue<K> {
    /// Its name, now: a queue whose name the broker chose has another one after a reconnect.
    pub fn name(&self) -> ShortString {
        self.shared.name.now()
    }

    /// What it held when it was declared. For what it holds now, declare it
    /// [passively](QueueDeclaration::passive) again.
    pub fn counts_when_declared(&self) -> Counts {
        self.shared.counts
    }

    /// Whether it can be used on the connection alone that declared it.
    pub fn is_exclusive(&self) -> bool {
        self.shared.owner.is_some()
    }

    /// Whether it goes with the connection that declared it, or with its last consumer.
    pub(crate) fn is_transient(&self) -> bool {
        self.shared.owner.is_some() || self.shared.auto_delete
    }

    /// Whether the broker chose its name.
    pub fn is_server_named(&self) -> bool {
        matches!(self.shared.name, QueueName::Chosen(_))
    }

    pub(crate) fn short_string(&self) -> ShortString {
        self.name()
    }

    pub(crate) fn realm(&self) -> &Arc<Realm> {
        &self.shared.realm
    }

    /// Its name, for who may hold it while a recovery gives it a new one.
    pub(crate) fn chosen_name(&self) -> Option<ChosenName> {
        self.is_server_named().then(|| ChosenName(self.shared.clone()))
    }

    /// Who is told when a recovery gives it a new name.
    pub(crate) fn name_holder(&self) -> Option<Weak<dyn Renamed>> {
        let holder: Arc<dyn Renamed> = self.shared.clone();
        self.is_server_named().then(|| Arc::downgrade(&holder))
    }

    /// Whether it can be used there, on the connection with that number.
    pub(crate) fn check(&self, realm: &Arc<Realm>, connection: u64) -> Result<(), UsageError> {
        self.check_realm(realm)?;
        match self.shared.owner {
            Some(owner) if owner != connection => {
                Err(UsageError::ForeignExclusiveQueue { queue: self.name() })
            }
            _ => Ok(()),
        }
    }

    /// Whether it is there at all.
    pub(crate) fn check_realm(&self, realm: &Arc<Realm>) -> Result<(), UsageError> {
        match self.shared.realm.same(realm) {
            true => Ok(()),
            false => Err(UsageError::wrong_broker(self.name(), &self.shared.realm, realm)),
        }
    }

    /// queue.declare, passive: asks for [`Counts`].
    pub(crate) fn count_request(
        &self,
        realm: &Arc<Realm>,
        connection: u64,
    ) -> Result<Request, UsageError> {
        self.check(realm, connection)?;
        Ok(Request::DeclareQueue(QueueSpec {
            name: self.name(),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: bytes::Bytes::new(),
        }))
    }

    fn declared(
        name: ShortString,
        chosen: bool,
        realm: Arc<Realm>,
        owner: Option<u64>,
        auto_delete: bool,
        counts: Counts,
    ) -> Self {
        let name = match chosen {
            true => QueueName::Chosen(Mutex::new(name)),
            false => QueueName::Given(name),
        };
        Queue {
            shared: Arc::new(Shared { name, realm, owner, auto_delete, counts }),
            kind: PhantomData,
        }
    }
}

impl Queue<Classic> {
    /// Declares a classic queue: durable, unless made [exclusive](QueueDeclaration::exclusive).
    pub fn classic(name: impl Into<Name>) -> QueueDeclaration<Classic> {
        QueueDeclaration::new(name.into())
    }
}

impl<K: QueueKind> Queue<K> {
    /// Declares an exclusive classic queue whose name the broker chooses.
    ///
    /// After a reconnect it is declared anew and gets another name, which its token, its bindings
    /// and its consumers follow.
    pub fn server_named() -> QueueDeclaration<K>
    where
        TheBroker: Names<K>, // one kind alone, so it need not be written: `Queue::server_named()`
    {
        QueueDeclaration::server_named()
    }
}

impl Queue<Quorum> {
    /// Declares a quorum queue: durable and replicated
    /// (<https://www.rabbitmq.com/docs/quorum-queues>).
    pub fn quorum(name: impl Into<Name>) -> QueueDeclaration<Quorum> {
        QueueDeclaration::new(name.into())
    }
}

impl Queue<Stream> {
    /// Declares a stream: durable, replicated, and read without removing
    /// (<https://www.rabbitmq.com/docs/streams>).
    pub fn stream(name: impl Into<Name>) -> QueueDeclaration<Stream> {
        QueueDeclaration::new(name.into())
    }
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Queue { shared: self.shared.clone(), kind: PhantomData }
    }
}

impl<K: QueueKind> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue<")?;
        K::label(f)?;
        write!(f, ">({:?})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Declare;

    fn realm(cluster: &str) -> Arc<Realm> {
        Arc::new(Realm::new(cluster, "/"))
    }

    fn reply(name: &str) -> Reply {
        Reply::Declared { name: ShortString::new(name).unwrap(), messages: 3, consumers: 1 }
    }

    #[test]
    fn a_token_says_what_it_is_and_what_it_held() {
        let declaration = Queue::quorum("inbox").single_active_consumer();
        let inbox = declaration.token(&realm("a"), 1, &reply("inbox"));
        assert_eq!(format!("{inbox:?}"), "Queue<SingleActive<Quorum>>(\"inbox\")");
        assert_eq!(inbox.counts_when_declared(), Counts { messages: 3, consumers: 1 });
    }

    #[test]
    fn a_durable_queue_is_good_on_every_connection_to_its_broker() {
        let inbox = Queue::quorum("inbox").token(&realm("a"), 1, &reply("inbox"));
        assert_eq!(inbox.check(&realm("a"), 2), Ok(()));
        let error = inbox.check(&realm("b"), 1).unwrap_err();
        assert!(matches!(error, UsageError::WrongBroker { .. }), "{error}");
    }

    #[test]
    fn an_exclusive_queue_is_good_on_its_own_connection_alone() {
        let mine = Queue::classic("mine").exclusive().token(&realm("a"), 1, &reply("mine"));
        assert_eq!(mine.check(&realm("a"), 1), Ok(()));
        let queue = ShortString::new("mine").unwrap();
        let error = UsageError::ForeignExclusiveQueue { queue };
        assert_eq!(mine.check(&realm("a"), 2), Err(error));
    }

    #[test]
    fn clones_follow_the_name_that_the_broker_chooses_anew() {
        let first = Queue::server_named().token(&realm("a"), 1, &reply("amq.gen-1"));
        let clone = first.clone();
        assert_eq!(clone.name(), "amq.gen-1");
        let name = |name| ShortString::new(name).unwrap();
        let holder = first.name_holder().and_then(|holder| holder.upgrade()).expect("held");
        holder.renamed(&name("amq.gen-9"), &name("amq.gen-8"));
        assert_eq!(clone.name(), "amq.gen-1", "that was another queue");
        holder.renamed(&name("amq.gen-1"), &name("amq.gen-2"));
        assert_eq!(clone.name(), "amq.gen-2");
        assert!(clone.is_server_named() && clone.is_exclusive());
    }

    #[test]
    fn a_given_name_stays() {
        let inbox = Queue::classic("inbox").token(&realm("a"), 1, &reply("inbox"));
        assert!(inbox.name_holder().is_none());
        assert_eq!(inbox.name(), "inbox");
    }

    #[test]
    fn tokens_go_anywhere_and_are_one_pointer() {
        fn anywhere<T: Clone + Send + Sync + 'static>() {}
        anywhere::<Queue<Stream>>();
        assert_eq!(size_of::<Queue<Stream>>(), size_of::<usize>());
    }
}
