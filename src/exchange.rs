//! Exchanges: the token that declaring gives, and the builders of declarations.

mod declaration;
mod kind;
mod route;

use std::{fmt, marker::PhantomData, sync::Arc};

pub use declaration::{ExchangeDeclaration, ExchangeType, HashOn};
pub use kind::{
    BoundByKey, BoundByMatch, BoundByPattern, BoundWithoutKey, CanBeDelayed, ConsistentHash,
    DefaultExchange, Delayed, Direct, ExchangeKind, Fanout, Headers, Internal, NamedExchange,
    Plugin, RoutedByKey, RoutedWithoutKey, Topic,
};
pub use route::{RouteTo, RoutingKey};

use crate::{
    name::{Name, Realm},
    proto::Request,
    usage::UsageError,
    wire::{ShortStr, ShortString},
};

/// An exchange of the kind `K`: the proof that this program declared it.
///
/// Cheap to clone, and good on every connection to the broker and virtual host where it was
/// declared; elsewhere a call says [`UsageError::WrongBroker`] before anything is sent. What it
/// does not prove: that nobody deleted the exchange since, and that permissions still allow to use
/// it.
///
/// ```no_run
/// # async fn run(chan: hopmq::Chan<hopmq::Open>) -> Result<(), hopmq::Error> {
/// use hopmq::{Exchange, exchange::Topic};
///
/// let orders: Exchange<Topic> = chan.declare(Exchange::topic("orders")).await?;
/// assert_eq!(orders.name(), "orders");
/// # Ok(()) }
/// ```
pub struct Exchange<K> {
    name: ShortString,
    /// `None`: it is there on every broker, or somebody vouches for it.
    realm: Option<Arc<Realm>>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Exchange<K> {
    /// Its name. The default exchange's is empty.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn short(&self) -> ShortStr<'_> {
        self.name.as_short()
    }

    pub(crate) fn short_string(&self) -> ShortString {
        self.name.clone()
    }

    pub(crate) fn realm(&self) -> Option<&Arc<Realm>> {
        self.realm.as_ref()
    }

    /// Whether it can be used there.
    pub(crate) fn check(&self, realm: &Arc<Realm>) -> Result<(), UsageError> {
        match &self.realm {
            Some(declared_at) if !declared_at.same(realm) => {
                Err(UsageError::wrong_broker(self.short_string(), declared_at, realm))
            }
            _ => Ok(()),
        }
    }

    /// exchange.delete; clones of the token outlive the exchange.
    pub(crate) fn delete_request(
        &self,
        realm: &Arc<Realm>,
        if_unused: bool,
    ) -> Result<Request, UsageError> {
        self.check(realm)?;
        // The broker does not let its own be deleted (403).
        let name = Name::from(&self.name).to_declare("exchange name")?;
        Ok(Request::DeleteExchange { name, if_unused })
    }

    fn declared(name: ShortString, realm: Arc<Realm>) -> Self {
        Exchange { name, realm: Some(realm), kind: PhantomData }
    }

    /// An exchange that every broker has. The names are short literals.
    fn everywhere(name: &'static str) -> Self {
        let name = ShortString::from_static(name).unwrap_or_default();
        Exchange { name, realm: None, kind: PhantomData }
    }
}

impl Exchange<Direct> {
    /// Declares an exchange that routes by equality of keys (AMQP 0-9-1, 3.1.3.1).
    pub fn direct(name: impl Into<Name>) -> ExchangeDeclaration<Direct> {
        ExchangeDeclaration::new(name.into(), ExchangeType::literal("direct"))
    }

    /// The broker's own `amq.direct`.
    pub fn amq_direct() -> Self {
        Self::everywhere("amq.direct")
    }
}

impl Exchange<Fanout> {
    /// Declares an exchange that routes to all that is bound to it (AMQP 0-9-1, 3.1.3.2).
    pub fn fanout(name: impl Into<Name>) -> ExchangeDeclaration<Fanout> {
        ExchangeDeclaration::new(name.into(), ExchangeType::literal("fanout"))
    }

    /// The broker's own `amq.fanout`.
    pub fn amq_fanout() -> Self {
        Self::everywhere("amq.fanout")
    }
}

impl Exchange<Topic> {
    /// Declares an exchange that routes by patterns of words: `*` is one, `#` any number
    /// (AMQP 0-9-1, 3.1.3.3).
    pub fn topic(name: impl Into<Name>) -> ExchangeDeclaration<Topic> {
        ExchangeDeclaration::new(name.into(), ExchangeType::literal("topic"))
    }

    /// The broker's own `amq.topic`.
    pub fn amq_topic() -> Self {
        Self::everywhere("amq.topic")
    }
}

impl Exchange<Headers> {
    /// Declares an exchange that routes by the message's headers (AMQP 0-9-1, 3.1.3.4).
    pub fn headers(name: impl Into<Name>) -> ExchangeDeclaration<Headers> {
        ExchangeDeclaration::new(name.into(), ExchangeType::literal("headers"))
    }

    /// The broker's own `amq.headers`.
    pub fn amq_headers() -> Self {
        Self::everywhere("amq.headers")
    }
}

impl Exchange<ConsistentHash> {
    /// Declares an exchange that spreads messages by a hash
    /// (<https://github.com/rabbitmq/rabbitmq-server/tree/main/deps/rabbitmq_consistent_hash_exchange>):
    /// of the routing key, unless [`ExchangeDeclaration::hash_on`] says otherwise. Bindings take a
    /// [`Weight`](crate::Weight).
    pub fn consistent_hash(name: impl Into<Name>) -> ExchangeDeclaration<ConsistentHash> {
        ExchangeDeclaration::new(name.into(), ExchangeType::literal("x-consistent-hash"))
    }
}

impl Exchange<Plugin> {
    /// Declares an exchange of a type that a plugin of the broker provides.
    ///
    /// ```
    /// use hopmq::{Exchange, exchange::ExchangeType};
    ///
    /// let recent = Exchange::plugin("recent", ExchangeType::named("x-recent-history")?);
    /// # let _ = recent;
    /// # Ok::<(), hopmq::UsageError>(())
    /// ```
    pub fn plugin(name: impl Into<Name>, kind: ExchangeType) -> ExchangeDeclaration<Plugin> {
        ExchangeDeclaration::new(name.into(), kind)
    }
}

impl Exchange<DefaultExchange> {
    /// The default exchange, which routes to the queue that the routing key names
    /// (AMQP 0-9-1, 3.1.3.1). It only publishes: it cannot be bound or deleted.
    ///
    /// A publish to it takes a queue's token as its key, or a name.
    pub fn default_exchange() -> Self {
        Self::everywhere("")
    }
}

impl<K: NamedExchange> Exchange<K> {
    /// An exchange that somebody else declared. **An escape**: nothing proves that it exists or
    /// is of this kind, and publishing to one that does not exist closes the channel with 404.
    ///
    /// Where the broker can be asked, `chan.declare(Exchange::topic("orders").passive())` proves
    /// that it exists.
    ///
    /// # Errors
    /// [`UsageError`] for a name that no exchange can have.
    ///
    /// ```
    /// use hopmq::{Exchange, exchange::Topic};
    ///
    /// let orders = Exchange::<Topic>::by_name("orders")?;
    /// assert_eq!(orders.name(), "orders");
    /// # Ok::<(), hopmq::UsageError>(())
    /// ```
    pub fn by_name(name: impl Into<Name>) -> Result<Self, UsageError> {
        let name = name.into().to_find("exchange name")?;
        Ok(Exchange { name, realm: None, kind: PhantomData })
    }
}

impl<K> Clone for Exchange<K> {
    fn clone(&self) -> Self {
        Exchange { name: self.name.clone(), realm: self.realm.clone(), kind: PhantomData }
    }
}

impl<K: ExchangeKind> fmt::Debug for Exchange<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange<")?;
        K::label(f)?;
        write!(f, ">({:?})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::Declare, proto::Reply};

    fn realm(cluster: &str) -> Arc<Realm> {
        Arc::new(Realm::new(cluster, "/"))
    }

    fn declared() -> Exchange<Internal<Topic>> {
        Exchange::topic("orders").internal().token(&realm("a"), 1, &Reply::Done)
    }

    #[test]
    fn a_token_says_what_it_is() {
        assert_eq!(format!("{:?}", declared()), "Exchange<Internal<Topic>>(\"orders\")");
        assert_eq!(format!("{:?}", Exchange::amq_fanout()), "Exchange<Fanout>(\"amq.fanout\")");
    }

    #[test]
    fn a_token_is_good_where_it_was_declared() {
        assert_eq!(declared().check(&realm("a")), Ok(()));
        let error = declared().check(&realm("b")).unwrap_err();
        assert!(matches!(error, UsageError::WrongBroker { .. }), "{error}");
    }

    #[test]
    fn what_every_broker_has_is_good_everywhere() {
        for place in ["a", "b"] {
            assert_eq!(Exchange::amq_topic().check(&realm(place)), Ok(()));
            assert_eq!(Exchange::default_exchange().check(&realm(place)), Ok(()));
        }
    }

    #[test]
    fn the_brokers_own_exchanges_are_not_deleted() {
        let error = Exchange::amq_topic().delete_request(&realm("a"), false).unwrap_err();
        assert!(matches!(error, UsageError::ReservedName { .. }), "{error}");
        let name = ShortString::new("orders").unwrap();
        let request = Request::DeleteExchange { name, if_unused: true };
        assert_eq!(declared().delete_request(&realm("a"), true), Ok(request));
    }

    #[test]
    fn an_exchange_by_name_has_a_name() {
        assert!(Exchange::<Topic>::by_name("").is_err());
        assert!(Exchange::<Topic>::by_name("x".repeat(256)).is_err());
        assert_eq!(Exchange::<Direct>::by_name("amq.direct").unwrap().name(), "amq.direct");
    }

    #[test]
    fn tokens_go_anywhere() {
        fn anywhere<T: Clone + Send + Sync + 'static>() {}
        anywhere::<Exchange<Topic>>();
        anywhere::<Exchange<Internal<Delayed<Fanout>>>>();
    }
}
