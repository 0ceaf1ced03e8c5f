//! The builder of exchange declarations.

use std::{fmt, marker::PhantomData, sync::Arc};

use super::{CanBeDelayed, ConsistentHash, Delayed, Exchange, ExchangeKind, Internal};
use crate::{
    arguments::Arguments,
    name::{Declare, Name, Passive, Realm},
    proto::{ExchangeSpec, Reply, Request},
    sealed::Sealed,
    usage::UsageError,
    wire::{ShortString, Value},
};

/// The type of an exchange, as the broker names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeType(ShortString);

impl ExchangeType {
    /// The type by which a plugin registers its exchanges, e.g. `x-recent-history`.
    ///
    /// # Errors
    /// [`UsageError`] when it is empty or over 255 bytes.
    pub fn named(name: &str) -> Result<Self, UsageError> {
        Name::from(name).to_find("exchange type").map(ExchangeType)
    }

    /// A type whose name is a literal of this module.
    pub(super) fn literal(name: &'static str) -> Self {
        ExchangeType(ShortString::from_static(name).unwrap_or_default())
    }
}

/// What a consistent hash exchange hashes instead of the routing key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashOn {
    /// The header of that name.
    Header(String),
    /// The property `message_id`.
    MessageId,
    /// The property `correlation_id`.
    CorrelationId,
    /// The property `timestamp`.
    Timestamp,
}

/// An exchange to be declared, of the kind `K`: durable, unless told otherwise.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Open>) -> Result<(), hopmq::Error> {
/// use hopmq::Exchange;
///
/// let unrouted = chan.declare(Exchange::fanout("unrouted")).await?;
/// let orders = chan.declare(Exchange::topic("orders").alternate(&unrouted)).await?;
/// # drop(orders);
/// # Ok(()) }
/// ```
#[must_use = "nothing is declared until it is given to `chan.declare(..)`"]
pub struct ExchangeDeclaration<K> {
    name: Name,
    kind: ExchangeType,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Arguments,
    marker: PhantomData<fn() -> K>,
}

impl<K: ExchangeKind> ExchangeDeclaration<K> {
    pub(super) fn new(name: Name, kind: ExchangeType) -> Self {
        let arguments = Arguments::default();
        ExchangeDeclaration {
            name,
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments,
            marker: PhantomData,
        }
    }

    /// It does not survive a restart of the broker.
    pub fn transient(mut self) -> Self {
        self.durable = false;
        self
    }

    /// It is deleted once the last binding from it is removed.
    pub fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }

    /// It takes messages from other exchanges only: nothing can be published to its token.
    pub fn internal(mut self) -> ExchangeDeclaration<Internal<K>> {
        self.internal = true;
        self.of_kind()
    }

    /// It holds each message back for as long as [`Message::delay`](crate::Message::delay) says.
    /// The broker needs the plugin `rabbitmq_delayed_message_exchange`.
    pub fn delayed(mut self) -> ExchangeDeclaration<Delayed<K>>
    where
        K: CanBeDelayed,
    {
        let kind = std::mem::replace(&mut self.kind, ExchangeType::literal("x-delayed-message"));
        self.arguments.set("x-delayed-type", &kind.0);
        self.of_kind()
    }

    /// Messages that it routes nowhere go to that exchange
    /// (<https://www.rabbitmq.com/docs/ae>).
    pub fn alternate<A>(mut self, exchange: &Exchange<A>) -> Self {
        let (name, realm) = (exchange.short_string(), exchange.realm());
        self.arguments.set_token("alternate-exchange", name, realm);
        self
    }

    /// Sets an argument that this library does not know. **An escape**: nothing is checked.
    pub fn raw_argument(mut self, name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        self.arguments.set(name, value);
        self
    }

    /// Only asks whether it exists: see [`Passive`].
    pub fn passive(self) -> Passive<Self> {
        Passive(self)
    }

    fn of_kind<T>(self) -> ExchangeDeclaration<T> {
        let ExchangeDeclaration { name, kind, durable, auto_delete, internal, arguments, .. } =
            self;
        ExchangeDeclaration {
            name,
            kind,
            durable,
            auto_delete,
            internal,
            arguments,
            marker: PhantomData,
        }
    }

    fn spec(
        &self,
        name: ShortString,
        realm: &Arc<Realm>,
        passive: bool,
    ) -> Result<Request, UsageError> {
        Ok(Request::DeclareExchange(ExchangeSpec {
            name,
            kind: self.kind.0.clone(),
            passive,
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: self.arguments.encode(realm)?,
        }))
    }
}

impl ExchangeDeclaration<ConsistentHash> {
    /// Hashes that, instead of the routing key.
    pub fn hash_on(mut self, what: HashOn) -> Self {
        let (argument, value) = match what {
            HashOn::Header(name) => ("hash-header", Value::from(name)),
            HashOn::MessageId => ("hash-property", "message_id".into()),
            HashOn::CorrelationId => ("hash-property", "correlation_id".into()),
            HashOn::Timestamp => ("hash-property", "timestamp".into()),
        };
        // The broker wants one of the two: the last call counts.
        self.arguments.remove("hash-header");
        self.arguments.remove("hash-property");
        self.arguments.set(argument, value);
        self
    }
}

impl<K> Sealed for ExchangeDeclaration<K> {}

impl<K: ExchangeKind> Declare for ExchangeDeclaration<K> {
    type Token = Exchange<K>;

    fn request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        self.spec(self.name.to_declare("exchange name")?, realm, false)
    }

    fn passive_request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        self.spec(self.name.to_find("exchange name")?, realm, true)
    }

    fn token(self, realm: &Arc<Realm>, _connection: u64, _reply: &Reply) -> Exchange<K> {
        // The request was made of the same name, so it is a good one.
        let name = self.name.to_find("exchange name").unwrap_or_default();
        Exchange::declared(name, realm.clone())
    }
}

impl<K> Clone for ExchangeDeclaration<K> {
    fn clone(&self) -> Self {
        ExchangeDeclaration {
            name: self.name.clone(),
            kind: self.kind.clone(),
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: self.arguments.clone(),
            marker: PhantomData,
        }
    }
}

impl<K: ExchangeKind> fmt::Debug for ExchangeDeclaration<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExchangeDeclaration<")?;
        K::label(f)?;
        write!(f, ">({:?})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::Fanout,
        wire::{FieldTable, RawTable},
    };

    fn realm() -> Arc<Realm> {
        Arc::new(Realm::new("rabbit", "/"))
    }

    fn spec(declaration: &impl Declare) -> ExchangeSpec {
        match declaration.request(&realm()).unwrap() {
            Request::DeclareExchange(spec) => spec,
            other => panic!("{other:?}"),
        }
    }

    fn arguments(spec: &ExchangeSpec) -> FieldTable {
        RawTable::new(&spec.arguments).decode().unwrap()
    }

    #[test]
    fn an_exchange_is_durable_unless_told_otherwise() {
        let plain = spec(&Exchange::topic("orders"));
        assert_eq!(plain.name, "orders");
        assert_eq!(plain.kind, "topic");
        assert!(plain.durable && !plain.auto_delete && !plain.internal && !plain.passive);
        assert!(arguments(&plain).is_empty());
        let temporary = spec(&Exchange::direct("x").transient().auto_delete().internal());
        assert!(!temporary.durable && temporary.auto_delete && temporary.internal);
    }

    #[test]
    fn an_alternate_exchange_is_named_by_its_token() {
        let unrouted = Exchange::fanout("unrouted").token(&realm(), 1, &Reply::Done);
        let spec = spec(&Exchange::topic("orders").alternate(&unrouted));
        assert_eq!(arguments(&spec).get("alternate-exchange"), Some(&"unrouted".into()));
        let elsewhere = Arc::new(Realm::new("other", "/"));
        let error = Exchange::topic("orders").alternate(&unrouted).request(&elsewhere);
        assert!(matches!(error, Err(UsageError::WrongBroker { .. })), "{error:?}");
    }

    #[test]
    fn a_delayed_exchange_keeps_its_type_in_an_argument() {
        let spec = spec(&Exchange::fanout("later").delayed());
        assert_eq!(spec.kind, "x-delayed-message");
        assert_eq!(arguments(&spec).get("x-delayed-type"), Some(&"fanout".into()));
    }

    #[test]
    fn a_consistent_hash_exchange_hashes_one_thing() {
        let declaration = Exchange::consistent_hash("shards")
            .hash_on(HashOn::MessageId)
            .hash_on(HashOn::Header("customer".into()));
        let spec = spec(&declaration);
        assert_eq!(spec.kind, "x-consistent-hash");
        assert_eq!(arguments(&spec).get("hash-header"), Some(&"customer".into()));
        assert_eq!(arguments(&spec).len(), 1);
    }

    #[test]
    fn a_passive_declaration_may_name_what_is_the_brokers_own() {
        let own = Exchange::topic("amq.rabbitmq.event");
        assert!(matches!(own.request(&realm()), Err(UsageError::ReservedName { .. })));
        let spec = spec(&own.passive());
        assert!(spec.passive);
        assert_eq!(spec.name, "amq.rabbitmq.event");
    }

    #[test]
    fn a_declaration_says_what_it_is() {
        let declaration: ExchangeDeclaration<Internal<Fanout>> = Exchange::fanout("x").internal();
        assert!(format!("{declaration:?}").starts_with("ExchangeDeclaration<Internal<Fanout>>"));
    }
}
