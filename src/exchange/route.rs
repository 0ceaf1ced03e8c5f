//! What a publish takes as its routing key, by the kind of its exchange.

use std::sync::Arc;

use super::{DefaultExchange, RoutedByKey, RoutedWithoutKey};
use crate::{
    name::Realm,
    queue::{ChosenName, Queue, QueueKind},
    sealed::Sealed,
    usage::UsageError,
    wire::{ShortStr, ShortString},
};

/// What a publish to an exchange of the kind `K` takes as its routing key: a string for direct,
/// topic and plugin exchanges, `()` for fanout and headers, a queue's token or a string for the
/// default exchange, and nothing at all for an internal exchange.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a publish to a `{K}` exchange takes as its routing key",
    label = "not a routing key for `{K}`",
    note = "direct, topic and plugin exchanges take a string: `publish(&orders, \"order.eu.created\", message)`",
    note = "fanout and headers exchanges take `()`: `publish(&news, (), message)`",
    note = "the default exchange takes a queue's token or name: `publish(&default, &inbox, message)`"
)]
pub trait RouteTo<'a, K>: Sealed {
    /// The key, for a publish in that realm. Nothing is allocated for one that is borrowed.
    #[doc(hidden)]
    fn into_key(self, realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError>;
}

/// A routing key, checked: borrowed, or shared with a queue's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingKey<'a>(Key<'a>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key<'a> {
    Borrowed(ShortStr<'a>),
    Shared(ShortString),
    /// The name of a queue that a recovery may give another one.
    Chosen(ShortString, ChosenName),
}

impl RoutingKey<'_> {
    pub(crate) fn as_short(&self) -> ShortStr<'_> {
        match &self.0 {
            Key::Borrowed(key) => *key,
            Key::Shared(key) | Key::Chosen(key, _) => key.as_short(),
        }
    }

    /// Asks again for what may have changed: a message may wait for long.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        if let Key::Chosen(key, queue) = &mut self.0 {
            *key = queue.now();
        }
    }
}

fn borrowed(key: &str) -> Result<RoutingKey<'_>, UsageError> {
    let key = ShortStr::new(key).map_err(UsageError::too_long("routing key"))?;
    Ok(RoutingKey(Key::Borrowed(key)))
}

impl<'a, K: RoutedByKey> RouteTo<'a, K> for &'a str {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        borrowed(self)
    }
}

impl<'a, K: RoutedByKey> RouteTo<'a, K> for &'a String {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        borrowed(self)
    }
}

impl<'a, K: RoutedByKey> RouteTo<'a, K> for String {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        let key = ShortString::new(self).map_err(UsageError::too_long("routing key"))?;
        Ok(RoutingKey(Key::Shared(key)))
    }
}

impl<'a, K: RoutedByKey> RouteTo<'a, K> for &'a ShortString {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        Ok(RoutingKey(Key::Borrowed(self.as_short())))
    }
}

impl<'a, K: RoutedByKey> RouteTo<'a, K> for ShortString {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        Ok(RoutingKey(Key::Shared(self)))
    }
}

impl<'a, K: RoutedWithoutKey> RouteTo<'a, K> for () {
    fn into_key(self, _realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        Ok(RoutingKey(Key::Borrowed(ShortStr::empty())))
    }
}

impl<'a, Q: QueueKind> RouteTo<'a, DefaultExchange> for &Queue<Q> {
    // Publishing to another connection's exclusive queue is allowed: only the realm matters.
    fn into_key(self, realm: &Arc<Realm>) -> Result<RoutingKey<'a>, UsageError> {
        self.check_realm(realm)?;
        let name = self.short_string();
        Ok(RoutingKey(match self.chosen_name() {
            Some(queue) => Key::Chosen(name, queue),
            None => Key::Shared(name),
        }))
    }
}

impl Sealed for &str {}
impl Sealed for String {}
impl Sealed for &String {}
impl Sealed for ShortString {}
impl Sealed for &ShortString {}
impl Sealed for () {}
impl<Q: QueueKind> Sealed for &Queue<Q> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::{Delayed, Fanout, Topic},
        name::Declare,
        proto::Reply,
    };

    fn realm() -> Arc<Realm> {
        Arc::new(Realm::new("rabbit", "/"))
    }

    fn key<'a, K>(key: impl RouteTo<'a, K>) -> Result<String, UsageError> {
        key.into_key(&realm()).map(|key| key.as_short().to_string())
    }

    #[test]
    fn a_routing_key_is_any_string_of_up_to_255_bytes() {
        assert_eq!(key::<Topic>("order.eu").unwrap(), "order.eu");
        assert_eq!(key::<Topic>(&"order.eu".to_owned()).unwrap(), "order.eu");
        assert_eq!(key::<DefaultExchange>(ShortString::new("inbox").unwrap()).unwrap(), "inbox");
        let error = UsageError::NameTooLong { what: "routing key", len: 256 };
        assert_eq!(key::<Topic>("x".repeat(256)), Err(error));
    }

    #[test]
    fn a_fanout_exchange_takes_no_key() {
        assert_eq!(key::<Fanout>(()).unwrap(), "");
        assert_eq!(key::<Delayed<Fanout>>(()).unwrap(), "");
    }

    #[test]
    fn a_key_follows_the_queue_to_the_name_that_the_broker_chose_anew() {
        let name = |text| ShortString::new(text).unwrap();
        let reply = Reply::Declared { name: name("amq.gen-1"), messages: 0, consumers: 0 };
        let replies = Queue::server_named().token(&realm(), 1, &reply);
        let mut key = RouteTo::<DefaultExchange>::into_key(&replies, &realm()).unwrap();
        let holder = replies.name_holder().and_then(|holder| holder.upgrade()).unwrap();
        holder.renamed(&name("amq.gen-1"), &name("amq.gen-2"));
        key.refresh();
        assert_eq!(key.as_short().to_string(), "amq.gen-2");
    }

    #[test]
    fn the_default_exchange_routes_to_a_queue_of_its_broker() {
        let name = ShortString::new("inbox").unwrap();
        let reply = Reply::Declared { name, messages: 0, consumers: 0 };
        let inbox = Queue::quorum("inbox").token(&realm(), 1, &reply);
        assert_eq!(key::<DefaultExchange>(&inbox).unwrap(), "inbox");
        let there = Arc::new(Realm::new("other", "/"));
        let error = RouteTo::<DefaultExchange>::into_key(&inbox, &there).unwrap_err();
        assert!(matches!(error, UsageError::WrongBroker { .. }), "{error}");
    }
}
