//! The kinds of exchanges, as types of size zero, and what each takes.
//!
//! The capabilities are implemented by hand, one line each: that keeps the compiler's messages
//! short. What a wrapper takes ([`Internal`], [`Delayed`]) is what the kind within takes.

use std::{fmt, marker::PhantomData};

use crate::sealed::Sealed;

/// Routes by equality of routing key and binding key.
#[derive(Debug)]
pub enum Direct {}

/// Routes to everything that is bound.
#[derive(Debug)]
pub enum Fanout {}

/// Routes by patterns of words.
#[derive(Debug)]
pub enum Topic {}

/// Routes by the headers of the message.
#[derive(Debug)]
pub enum Headers {}

/// Spreads messages over what is bound, by weight.
#[derive(Debug)]
pub enum ConsistentHash {}

/// Of a type that a plugin of the broker provides.
#[derive(Debug)]
pub enum Plugin {}

/// The default exchange: routes to the queue that the routing key names.
#[derive(Debug)]
pub enum DefaultExchange {}

/// Takes messages from other exchanges only: clients cannot publish to it.
#[derive(Debug)]
pub struct Internal<K>(PhantomData<fn() -> K>);

/// Holds each message for the time that [`Message::delay`](crate::Message::delay) says
/// (<https://github.com/rabbitmq/rabbitmq-delayed-message-exchange>).
#[derive(Debug)]
pub struct Delayed<K>(PhantomData<fn() -> K>);

/// A kind of exchange.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind of exchange",
    label = "kinds are `Direct`, `Fanout`, `Topic`, `Headers` and those of plugins"
)]
pub trait ExchangeKind: Sealed + Send + Sync + 'static {
    /// Writes the name of the kind.
    #[doc(hidden)]
    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! kinds {
    ($($kind:ident),+) => {$(
        impl Sealed for $kind {}
        impl ExchangeKind for $kind {
            fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($kind))
            }
        }
    )+};
}

kinds!(Direct, Fanout, Topic, Headers, ConsistentHash, Plugin, DefaultExchange);

macro_rules! wrappers {
    ($($kind:ident),+) => {$(
        impl<K: ExchangeKind> Sealed for $kind<K> {}
        impl<K: ExchangeKind> ExchangeKind for $kind<K> {
            fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($kind), "<"))?;
                K::label(f)?;
                f.write_str(">")
            }
        }
    )+};
}

wrappers!(Internal, Delayed);

/// An exchange with a name: every kind but the default exchange. It can be bound and deleted.
#[diagnostic::on_unimplemented(
    message = "operation not permitted on the default exchange",
    label = "this is a `{Self}`, which only publishes; this call needs an exchange with a name",
    note = "first write `let orders = chan.declare(Exchange::topic(\"orders\")).await?;`"
)]
pub trait NamedExchange: ExchangeKind {}
impl NamedExchange for Direct {}
impl NamedExchange for Fanout {}
impl NamedExchange for Topic {}
impl NamedExchange for Headers {}
impl NamedExchange for ConsistentHash {}
impl NamedExchange for Plugin {}
impl<K: NamedExchange> NamedExchange for Internal<K> {}
impl<K: NamedExchange> NamedExchange for Delayed<K> {}

/// A kind that can hold messages back: direct, fanout, topic, headers.
#[diagnostic::on_unimplemented(
    message = "an exchange of this kind does not delay messages",
    label = "this is `{Self}`; `delayed` needs `Direct`, `Fanout`, `Topic` or `Headers`",
    note = "write `Exchange::topic(\"orders\").delayed()`, and `.internal()` after it"
)]
pub trait CanBeDelayed: ExchangeKind {}
impl CanBeDelayed for Direct {}
impl CanBeDelayed for Fanout {}
impl CanBeDelayed for Topic {}
impl CanBeDelayed for Headers {}

/// A publish to it takes a routing key.
#[diagnostic::on_unimplemented(
    message = "an exchange of this kind cannot be published to with a routing key",
    label = "this publishes to a `{Self}` exchange; a key needs a direct, topic or plugin exchange",
    note = "a fanout exchange ignores keys and a headers exchange matches headers: write `()` in place of the key",
    note = "an `Internal<_>` exchange cannot be published to at all: declare it without `.internal()`, or publish to one that is bound to it"
)]
pub trait RoutedByKey: ExchangeKind {}
impl RoutedByKey for Direct {}
impl RoutedByKey for Topic {}
impl RoutedByKey for ConsistentHash {}
impl RoutedByKey for Plugin {}
impl RoutedByKey for DefaultExchange {}
impl<K: RoutedByKey> RoutedByKey for Delayed<K> {}

/// A publish to it takes `()` in place of a routing key.
#[diagnostic::on_unimplemented(
    message = "an exchange of this kind cannot be published to without a routing key",
    label = "this publishes to a `{Self}` exchange; `()` in place of a key needs a fanout or headers exchange",
    note = "give the key, e.g. `publish(&orders, \"order.eu.created\", message)`",
    note = "an `Internal<_>` exchange cannot be published to at all: declare it without `.internal()`, or publish to one that is bound to it"
)]
pub trait RoutedWithoutKey: ExchangeKind {}
impl RoutedWithoutKey for Fanout {}
impl RoutedWithoutKey for Headers {}
impl<K: RoutedWithoutKey> RoutedWithoutKey for Delayed<K> {}

/// A binding to it takes a key.
#[diagnostic::on_unimplemented(
    message = "a binding to an exchange of this kind takes no key",
    label = "this binds to a `{Self}` exchange; a key needs a direct, topic or plugin exchange",
    note = "fanout: `chan.bind(&inbox, &exchange, ())`",
    note = "headers: `chan.bind(&inbox, &exchange, Match::all([(\"format\", \"pdf\")]))`",
    note = "consistent hash: `chan.bind(&inbox, &exchange, Weight::ONE)`",
    note = "the default exchange cannot be bound: it routes to every queue by name already"
)]
pub trait BoundByKey: ExchangeKind {}
impl BoundByKey for Direct {}
impl BoundByKey for Topic {}
impl BoundByKey for Plugin {}
impl<K: BoundByKey> BoundByKey for Internal<K> {}
impl<K: BoundByKey> BoundByKey for Delayed<K> {}

/// A binding to it takes a pattern.
#[diagnostic::on_unimplemented(
    message = "a binding to an exchange of this kind takes no pattern",
    label = "this binds to a `{Self}` exchange; a pattern needs a topic exchange",
    note = "direct: `chan.bind(&inbox, &exchange, \"key\")`",
    note = "fanout: `chan.bind(&inbox, &exchange, ())`",
    note = "headers: `chan.bind(&inbox, &exchange, Match::all([(\"format\", \"pdf\")]))`"
)]
pub trait BoundByPattern: ExchangeKind {}
impl BoundByPattern for Topic {}
impl<K: BoundByPattern> BoundByPattern for Internal<K> {}
impl<K: BoundByPattern> BoundByPattern for Delayed<K> {}

/// A binding to it takes `()`.
#[diagnostic::on_unimplemented(
    message = "a binding to an exchange of this kind needs an argument",
    label = "this binds to a `{Self}` exchange; `()` needs a fanout exchange",
    note = "direct and topic: `chan.bind(&inbox, &exchange, \"order.*.created\")`",
    note = "headers: `chan.bind(&inbox, &exchange, Match::all([(\"format\", \"pdf\")]))`",
    note = "consistent hash: `chan.bind(&inbox, &exchange, Weight::ONE)`"
)]
pub trait BoundWithoutKey: ExchangeKind {}
impl BoundWithoutKey for Fanout {}
impl<K: BoundWithoutKey> BoundWithoutKey for Internal<K> {}
impl<K: BoundWithoutKey> BoundWithoutKey for Delayed<K> {}

/// A binding to it takes a [`Match`](crate::Match).
#[diagnostic::on_unimplemented(
    message = "a binding to an exchange of this kind matches no headers",
    label = "this binds to a `{Self}` exchange; a `Match` needs a headers exchange",
    note = "direct and topic: `chan.bind(&inbox, &exchange, \"order.*.created\")`",
    note = "fanout: `chan.bind(&inbox, &exchange, ())`"
)]
pub trait BoundByMatch: ExchangeKind {}
impl BoundByMatch for Headers {}
impl<K: BoundByMatch> BoundByMatch for Internal<K> {}
impl<K: BoundByMatch> BoundByMatch for Delayed<K> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_cost_nothing() {
        assert_eq!(size_of::<Topic>() + size_of::<Internal<Delayed<Topic>>>(), 0);
    }
}
