//! The kinds of queues, as types of size zero, and what each allows.
//!
//! The capabilities are implemented by hand, one line each: that keeps the compiler's messages
//! short. Each quotes what RabbitMQ would answer at run time.

use std::{fmt, marker::PhantomData};

use crate::sealed::Sealed;

/// A queue on one node: durable, or exclusive to its connection.
#[derive(Debug)]
pub enum Classic {}

/// A durable queue, replicated by consensus.
#[derive(Debug)]
pub enum Quorum {}

/// A replicated log: consumers read it without removing anything.
#[derive(Debug)]
pub enum Stream {}

/// A queue that gives messages to one of its consumers only, and to the next when that leaves
/// (<https://www.rabbitmq.com/docs/consumers#single-active-consumer>).
#[derive(Debug)]
pub struct SingleActive<K>(PhantomData<fn() -> K>);

/// A kind of queue.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind of queue",
    label = "kinds are `Classic`, `Quorum`, `Stream`, `SingleActive<Classic>` and `SingleActive<Quorum>`"
)]
pub trait QueueKind: Sealed + Send + Sync + 'static {
    /// The broker's name of the type.
    #[doc(hidden)]
    const TYPE: &'static str;

    /// The argument by which it is told how many nodes get a replica.
    #[doc(hidden)]
    const GROUP_SIZE: &'static str = "x-quorum-initial-group-size";

    /// Writes the name of the kind.
    #[doc(hidden)]
    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Sealed for Classic {}
impl Sealed for Quorum {}
impl Sealed for Stream {}
impl<K: QueueKind> Sealed for SingleActive<K> {}

impl QueueKind for Classic {
    const TYPE: &'static str = "classic";

    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classic")
    }
}

impl QueueKind for Quorum {
    const TYPE: &'static str = "quorum";

    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quorum")
    }
}

impl QueueKind for Stream {
    const TYPE: &'static str = "stream";
    const GROUP_SIZE: &'static str = "x-initial-cluster-size";

    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl<K: QueueKind> QueueKind for SingleActive<K> {
    const TYPE: &'static str = K::TYPE;
    const GROUP_SIZE: &'static str = K::GROUP_SIZE;

    fn label(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleActive<")?;
        K::label(f)?;
        f.write_str(">")
    }
}

/// Its messages can be fetched one by one: classic and quorum queues.
///
/// RabbitMQ: 540 "basic.get not supported by stream queues", 405 "basic.get operations are not
/// supported by ... queues with single active consumer".
#[diagnostic::on_unimplemented(
    message = "messages cannot be fetched one by one from this queue",
    label = "this is a `{Self}` queue; `get` needs a `Classic` or `Quorum` queue",
    note = "consume instead: `let mut deliveries = chan.consume(&queue).prefetch(100).await?;`"
)]
pub trait CanGet: QueueKind {}
impl CanGet for Classic {}
impl CanGet for Quorum {}

/// It can be emptied: every queue but a stream.
///
/// RabbitMQ: 540 "queue.purge not supported by stream queues".
#[diagnostic::on_unimplemented(
    message = "this queue cannot be purged",
    label = "this is a `{Self}` queue; `purge` needs a `Classic` or `Quorum` queue",
    note = "a stream forgets by its retention: `Queue::stream(\"log\").max_age(..)` or `.max_bytes(..)`"
)]
pub trait CanPurge: QueueKind {}
impl CanPurge for Classic {}
impl CanPurge for Quorum {}
impl CanPurge for SingleActive<Classic> {}
impl CanPurge for SingleActive<Quorum> {}

/// It delivers without being owed an acknowledgement: every queue but a stream.
///
/// RabbitMQ: 540 "automatic acknowledgement not supported by stream".
#[diagnostic::on_unimplemented(
    message = "this queue does not deliver with automatic acknowledgement",
    label = "this is a `{Self}` queue; automatic acknowledgement needs a `Classic` or `Quorum` queue",
    note = "acknowledge each delivery: `delivery.ack()?`"
)]
pub trait CanConsumeAutomatically: QueueKind {}
impl CanConsumeAutomatically for Classic {}
impl CanConsumeAutomatically for Quorum {}
impl CanConsumeAutomatically for SingleActive<Classic> {}
impl CanConsumeAutomatically for SingleActive<Quorum> {}

/// It can be consumed by one consumer that keeps others out: classic queues.
///
/// RabbitMQ ignores the flag on quorum queues and streams, and refuses it where there is a single
/// active consumer: 403 "... in exclusive use".
#[diagnostic::on_unimplemented(
    message = "this queue has no exclusive consumers",
    label = "this is a `{Self}` queue; an exclusive consumer needs a `Classic` queue",
    note = "for one consumer at a time: `Queue::quorum(\"inbox\").single_active_consumer()`"
)]
pub trait CanConsumeExclusively: QueueKind {}
impl CanConsumeExclusively for Classic {}

/// Its consumers have priorities: every queue but a stream.
///
/// RabbitMQ: 406 "invalid arg 'x-priority' for ... of queue type stream".
#[diagnostic::on_unimplemented(
    message = "the consumers of this queue have no priorities",
    label = "this is a `{Self}` queue; a consumer's priority needs a `Classic` or `Quorum` queue",
    note = "a stream serves each reader by itself: leave the priority out"
)]
pub trait TakesConsumerPriority: QueueKind {}
impl TakesConsumerPriority for Classic {}
impl TakesConsumerPriority for Quorum {}
impl TakesConsumerPriority for SingleActive<Classic> {}
impl TakesConsumerPriority for SingleActive<Quorum> {}

/// It can be deleted on condition (if unused, if empty): classic queues.
///
/// RabbitMQ: 540 "queue.delete operations with if-unused flag set are not supported by quorum
/// queues"; a stream ignores the conditions and is gone.
#[diagnostic::on_unimplemented(
    message = "this queue cannot be deleted on condition",
    label = "this is a `{Self}` queue; `if_unused` and `if_empty` need a `Classic` queue",
    note = "delete it whatever it holds: `chan.delete_queue(&queue).await?`"
)]
pub trait CanDeleteConditionally: QueueKind {}
impl CanDeleteConditionally for Classic {}
impl CanDeleteConditionally for SingleActive<Classic> {}

/// Who chooses the names of queues that are declared without one.
#[derive(Debug)]
pub enum TheBroker {}

/// Chooses the name of a queue of the kind `K`: of classic queues alone.
///
/// RabbitMQ: 406 "Cannot declare a server-named queue for type rabbit_quorum_queue".
#[diagnostic::on_unimplemented(
    message = "the broker does not choose the name of a `{K}` queue",
    label = "`server_named` declares a `Classic` queue, and this asks for a `{K}` queue",
    note = "declare one under a name: `Queue::quorum(\"inbox\")`, `Queue::stream(\"log\")`",
    note = "for a queue of this connection alone: `Queue::server_named()`"
)]
pub trait Names<K> {}
impl Names<Classic> for TheBroker {}

/// It can be read from any place: streams.
#[diagnostic::on_unimplemented(
    message = "this queue has no offsets to consume from",
    label = "this is a `{Self}` queue; an offset needs a `Stream`",
    note = "declare one: `let log = chan.declare(Queue::stream(\"log\")).await?;`"
)]
pub trait HasOffsets: QueueKind {}
impl HasOffsets for Stream {}

/// Options of classic queues alone: exclusive, auto-delete, priorities.
///
/// RabbitMQ: 406 "invalid property 'exclusive-owner'", 406 "invalid arg 'x-max-priority'".
#[diagnostic::on_unimplemented(
    message = "this option is for classic queues alone",
    label = "this declares a `{Self}` queue; the option needs a `Classic` queue",
    note = "declare one: `Queue::classic(\"inbox\")`; a quorum queue or stream is always durable, shared and kept"
)]
pub trait TakesClassicOptions: QueueKind {}
impl TakesClassicOptions for Classic {}
impl TakesClassicOptions for SingleActive<Classic> {}

/// Options of quorum queues alone: the delivery limit, dead-lettering at least once.
///
/// RabbitMQ: 406 "invalid arg 'x-delivery-limit' for ... of queue type classic".
#[diagnostic::on_unimplemented(
    message = "this option is for quorum queues alone",
    label = "this declares a `{Self}` queue; the option needs a `Quorum` queue",
    note = "declare one: `Queue::quorum(\"inbox\")`"
)]
pub trait TakesQuorumOptions: QueueKind {}
impl TakesQuorumOptions for Quorum {}
impl TakesQuorumOptions for SingleActive<Quorum> {}

/// Options of streams alone: retention by age, segments, filters.
///
/// RabbitMQ: 406 "invalid arg 'x-max-age' for ... of queue type quorum".
#[diagnostic::on_unimplemented(
    message = "this option is for streams alone",
    label = "this declares a `{Self}` queue; the option needs a `Stream`",
    note = "declare one: `Queue::stream(\"log\")`; in other queues messages age by `.message_ttl(..)`"
)]
pub trait TakesStreamOptions: QueueKind {}
impl TakesStreamOptions for Stream {}

/// Options of queues whose messages leave when they are consumed: all but streams.
///
/// RabbitMQ: 406 "invalid arg 'x-message-ttl' for ... of queue type stream".
#[diagnostic::on_unimplemented(
    message = "a stream does not take this option",
    label = "this declares a `{Self}`; the option needs a `Classic` or `Quorum` queue",
    note = "a stream is bounded by `.max_bytes(..)` and `.max_age(..)`, and dead-letters nothing"
)]
pub trait TakesQueueOptions: QueueKind {}
impl TakesQueueOptions for Classic {}
impl TakesQueueOptions for Quorum {}
impl TakesQueueOptions for SingleActive<Classic> {}
impl TakesQueueOptions for SingleActive<Quorum> {}

/// Options of what is replicated: quorum queues and streams.
///
/// RabbitMQ: 406 "invalid arg 'x-quorum-initial-group-size' for ... of queue type classic".
#[diagnostic::on_unimplemented(
    message = "a classic queue has no replicas",
    label = "this declares a `{Self}` queue; the option needs a `Quorum` queue or a `Stream`",
    note = "declare a replicated one: `Queue::quorum(\"inbox\")`"
)]
pub trait TakesReplicaOptions: QueueKind {}
impl TakesReplicaOptions for Quorum {}
impl TakesReplicaOptions for SingleActive<Quorum> {}
impl TakesReplicaOptions for Stream {}

/// It can have a single active consumer: classic and quorum queues.
#[diagnostic::on_unimplemented(
    message = "this queue cannot be given a single active consumer",
    label = "this declares a `{Self}`; a single active consumer needs a `Classic` or `Quorum` queue",
    note = "call `.single_active_consumer()` once, on `Queue::quorum(\"inbox\")` or `Queue::classic(\"inbox\")`"
)]
pub trait CanBeSingleActive: QueueKind {}
impl CanBeSingleActive for Classic {}
impl CanBeSingleActive for Quorum {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_cost_nothing() {
        assert_eq!(size_of::<Stream>() + size_of::<SingleActive<Quorum>>(), 0);
    }
}
