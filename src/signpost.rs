//! Calls that AMQP has and this library does not: each is found by its name and refused by the
//! compiler, with the way that leads on.
//!
//! Without them the compiler would only say "no method named ...". No type implements any of these
//! traits. Their lifetime is there because the compiler refuses a bound that can be decided where
//! it stands; one over all lifetimes is decided at the call.

use std::future::IntoFuture;

use crate::{
    call::Call,
    chan::{Chan, ChanState, ConfirmSelect, Open, Reopen, TxSelect},
    conn::Connecting,
    consumer::{Consume, ConsumeAutomatically, Consumer, NeedsPrefetch, Next},
    error::Error,
    exchange::{Exchange, ExchangeDeclaration, Plugin},
    message::{Message, Received},
    name::Declare,
    publish::{Publish, PublishUnconfirmed},
    publish_all::PublishAll,
    publisher::Publisher,
    queue::{CanConsumeAutomatically, Classic, Queue, QueueDeclaration},
};

/// RabbitMQ: 406 "unknown delivery tag N", for a tag of another channel.
#[diagnostic::on_unimplemented(
    message = "a channel does not settle deliveries: each delivery settles itself",
    label = "this is a `{Self}`; settling needs the `Delivery`, which knows its channel",
    note = "write `delivery.ack()?`, `delivery.requeue()?` or `delivery.reject()?`"
)]
pub trait SettlesByTag {}

/// RabbitMQ: 406 "unknown delivery tag N".
#[diagnostic::on_unimplemented(
    message = "there is nothing to settle: this message was settled when it was sent",
    label = "this is a `{Self}`; settling needs a `Delivery`",
    note = "consume without `.automatic_ack()`: `let mut deliveries = chan.consume(&inbox).await?;`",
    note = "an answer to a remote call is never settled: RabbitMQ's direct reply-to has no acknowledgements"
)]
pub trait IsUnsettled<'a> {}

/// RabbitMQ: 540 "queue 'q' in vhost '/' does not support global qos".
#[diagnostic::on_unimplemented(
    message = "a channel has no prefetch: each consumer has its own",
    label = "this is a `{Self}`; a prefetch needs a consumer",
    note = "write `let deliveries = chan.consume(&inbox).prefetch(100).await?;`"
)]
pub trait HasPrefetch {}

/// RabbitMQ: 540 "prefetch_size!=0 (N)".
#[diagnostic::on_unimplemented(
    message = "a consumer's prefetch is counted in messages: RabbitMQ has none in bytes",
    label = "this is a `{Self}`, which takes a number of messages",
    note = "write `chan.consume(&inbox).prefetch(100)`"
)]
pub trait HasPrefetchSize {}

/// RabbitMQ: 530 "attempt to reuse consumer tag 't'".
#[diagnostic::on_unimplemented(
    message = "a consumer's tag is made by this library, so that none is used twice",
    label = "this is a `{Self}`, which takes no tag",
    note = "keep the `Consumer` that awaiting gives: it is what the tag would stand for"
)]
pub trait TakesConsumerTag {}

/// RabbitMQ: 540 "immediate=true".
#[diagnostic::on_unimplemented(
    message = "RabbitMQ has no immediate publishing",
    label = "this is a `{Self}`, which has no such flag",
    note = "`.mandatory()` reports what no queue takes; `message.expiration(Duration::ZERO)` drops what no consumer takes at once"
)]
pub trait HasImmediate {}

/// RabbitMQ: 540 "active=false".
#[diagnostic::on_unimplemented(
    message = "RabbitMQ does not pause deliveries on a channel",
    label = "this is a `{Self}`, which has no flow to switch off",
    note = "bound what is in flight: `chan.consume(&inbox).prefetch(100)`; to pause, leave deliveries unsettled or drop the consumer"
)]
pub trait HasFlow {}

/// RabbitMQ: 540 "requeue=false".
#[diagnostic::on_unimplemented(
    message = "a channel does not redeliver what it holds: each delivery is put back by itself",
    label = "this is a `{Self}`; putting back needs the `Delivery`",
    note = "write `delivery.requeue()?`, or drop it"
)]
pub trait Recovers {}

/// Without confirm.select there is nothing to wait for.
#[diagnostic::on_unimplemented(
    message = "a channel has no confirms to wait for: each publish has its own",
    label = "this is a `{Self}`; a confirm comes from publishing on a `Chan<Confirming>`",
    note = "first write `let chan = chan.confirm_select().await?;`",
    note = "then `let confirm = chan.publish(&orders, \"order.eu.created\", message).await?;` and `confirm.await?`"
)]
pub trait WaitsForConfirms {}

/// RabbitMQ: 406 "invalid property 'non-durable'"; for a classic queue 541 from 4.0 on.
#[diagnostic::on_unimplemented(
    message = "a queue is not transient: it is durable, or exclusive to its connection",
    label = "this declares a `{Self}`",
    note = "for a queue that ends with its connection: `Queue::classic(\"replies\").exclusive()`",
    note = "a quorum queue or stream is always durable: leave `.transient()` out; for a message that need not survive: `message.transient()`"
)]
pub trait CanBeTransient {}

/// RabbitMQ: 406 "routing_key_but_no_dlx_defined".
#[diagnostic::on_unimplemented(
    message = "a dead-letter routing key goes with its exchange",
    label = "this is a `{Self}`, which takes exchange and key in one value",
    note = "write `.dead_letter(DeadLetter::to(&dead).key(\"expired\"))`, or `.dead_letter(DeadLetter::to_queue(&dead))`"
)]
pub trait TakesDeadLetterKey {}

/// RabbitMQ: 406 "user_id property set to 'a' but authenticated user was 'b'".
#[diagnostic::on_unimplemented(
    message = "a message cannot name its user: the broker compares it with the connection's",
    label = "this is a `{Self}`, which has no user id",
    note = "write `conn.signed(message)` for the user of `conn`; what is the application's own goes into `.app_id(\"..\")` or `.header(\"..\", \"..\")`"
)]
pub trait TakesUserId<'a> {}

/// A future has nothing of what it makes.
#[diagnostic::on_unimplemented(
    message = "this is not awaited yet, and nothing was sent",
    label = "this is a `{Self}`, the future of what has this call",
    note = "write `.await?` behind the call that made it, as in `let chan = conn.open_channel().await?;`"
)]
pub trait IsAwaited<'a> {
    fn never<T>(&self) -> T;
}

/// RabbitMQ has no queue or exchange without a type: 406 "unknown exchange type".
#[diagnostic::on_unimplemented(
    message = "a queue or exchange is declared by its type",
    label = "this says no type that RabbitMQ has",
    note = "an exchange: `chan.declare(Exchange::topic(\"orders\")).await?`, or `direct`, `fanout`, `headers`, `consistent_hash`",
    note = "a queue: `chan.declare(Queue::quorum(\"inbox\")).await?`, or `classic`, `stream`, `server_named`",
    note = "a type of a plugin: `Exchange::plugin(\"recent\", ExchangeType::named(\"x-recent-history\")?)`"
)]
pub trait SaysItsType<'a> {
    fn never<T>(&self) -> T;
}

#[doc(hidden)]
#[allow(clippy::new_ret_no_self)] // As other clients have it; declaring makes the token.
impl Queue<Classic> {
    pub fn new<N>(name: N) -> QueueDeclaration<Classic>
    where
        for<'a> N: SaysItsType<'a>,
    {
        name.never()
    }
}

#[doc(hidden)]
#[allow(clippy::new_ret_no_self)] // As other clients have it; declaring makes the token.
impl Exchange<Plugin> {
    pub fn new<N, T>(_name: N, kind: T) -> ExchangeDeclaration<Plugin>
    where
        for<'a> T: SaysItsType<'a>,
    {
        kind.never()
    }
}

#[doc(hidden)]
impl Connecting {
    pub fn open_channel(&self) -> Call<Chan<Open>>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl Call<Chan<Open>> {
    pub fn declare<D: Declare>(&self, _declaration: D) -> Call<D::Token>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }

    pub fn confirm_select(self) -> ConfirmSelect
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }

    pub fn tx_select(self) -> TxSelect
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl ConfirmSelect {
    pub fn declare<D: Declare>(&self, _declaration: D) -> Call<D::Token>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }

    pub fn publish<X, R>(
        &self,
        _exchange: &Exchange<X>,
        _route: R,
        _message: impl Into<Message>,
    ) -> Publish<'_>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }

    pub fn publish_all<X, R, M: IntoIterator>(
        &self,
        _exchange: &Exchange<X>,
        _route: R,
        _messages: M,
    ) -> PublishAll<'_, M::IntoIter>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }

    pub fn publisher(&self) -> Publisher
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl TxSelect {
    pub fn publish_in_tx<X, R>(
        &self,
        _exchange: &Exchange<X>,
        _route: R,
        _message: impl Into<Message>,
    ) -> PublishUnconfirmed<'_>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl Reopen {
    pub fn declare<D: Declare>(&self, _declaration: D) -> Call<D::Token>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl<K> Consume<K> {
    #[allow(clippy::should_implement_trait)] // As the consumer has it.
    pub fn next(&mut self) -> Next<'_, Consumer>
    where
        for<'a> Self: IsAwaited<'a>,
    {
        self.never()
    }
}

#[doc(hidden)]
impl<S: ChanState> Chan<S> {
    pub fn ack<D>(&self, _delivery: D)
    where
        Self: SettlesByTag,
    {
    }

    pub fn nack<D>(&self, _delivery: D)
    where
        Self: SettlesByTag,
    {
    }

    pub fn reject<D>(&self, _delivery: D)
    where
        Self: SettlesByTag,
    {
    }

    pub fn qos(&self, _prefetch: u16)
    where
        Self: HasPrefetch,
    {
    }

    pub fn flow(&self, _active: bool)
    where
        Self: HasFlow,
    {
    }

    pub fn recover(&self, _requeue: bool)
    where
        Self: Recovers,
    {
    }

    pub fn wait_for_confirms(&self)
    where
        Self: WaitsForConfirms,
    {
    }
}

#[doc(hidden)]
impl Received {
    pub fn ack(self)
    where
        for<'a> Self: IsUnsettled<'a>,
    {
    }

    pub fn requeue(self)
    where
        for<'a> Self: IsUnsettled<'a>,
    {
    }

    pub fn reject(self)
    where
        for<'a> Self: IsUnsettled<'a>,
    {
    }
}

#[doc(hidden)]
impl<K> Consume<K> {
    pub fn prefetch_size(self, _bytes: u32) -> Self
    where
        Self: HasPrefetchSize,
    {
        self
    }

    pub fn consumer_tag(self, _tag: &str) -> Self
    where
        Self: TakesConsumerTag,
    {
        self
    }
}

#[doc(hidden)]
impl<K> NeedsPrefetch<K> {
    pub fn automatic_ack(self) -> ConsumeAutomatically
    where
        K: CanConsumeAutomatically,
    {
        self.prefetch(1).automatic_ack()
    }
}

/// RabbitMQ: 406 "consumer prefetch count is not set".
pub trait NeedsNoPrefetch {}

// The compiler keeps to its own words where an `.await` lacks a future, but quotes this line.
#[rustfmt::skip]
impl<K> IntoFuture for NeedsPrefetch<K> // awaited after `.prefetch(100)`: RabbitMQ demands one of a stream's consumer
where
    Self: NeedsNoPrefetch,
{
    type Output = Result<Consumer, Error>;
    type IntoFuture = Call<Consumer>;

    fn into_future(self) -> Call<Consumer> {
        self.prefetch(1).into_future()
    }
}

#[doc(hidden)]
impl Publish<'_> {
    pub fn immediate(self) -> Self
    where
        Self: HasImmediate,
    {
        self
    }
}

#[doc(hidden)]
impl PublishUnconfirmed<'_> {
    pub fn immediate(self) -> Self
    where
        Self: HasImmediate,
    {
        self
    }
}

#[doc(hidden)]
impl<K> QueueDeclaration<K> {
    pub fn transient(self) -> Self
    where
        Self: CanBeTransient,
    {
        self
    }

    pub fn dead_letter_routing_key(self, _key: &str) -> Self
    where
        Self: TakesDeadLetterKey,
    {
        self
    }
}

#[doc(hidden)]
impl Message {
    pub fn user_id(self, _user: &str) -> Self
    where
        for<'a> Self: TakesUserId<'a>,
    {
        self
    }
}
