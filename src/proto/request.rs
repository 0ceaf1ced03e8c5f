//! What the client asks of the broker on a channel: each request is one synchronous method.

use bytes::{Bytes, BytesMut};

use crate::wire::{
    MethodFrame, RawTable, ShortString, encode,
    method::{basic, channel, confirm, exchange, queue, tx},
};

/// A synchronous request on a channel. Tables are kept encoded, names are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// exchange.declare
    DeclareExchange(ExchangeSpec),
    /// exchange.delete
    DeleteExchange {
        /// The exchange.
        name: ShortString,
        /// Only when nothing is bound to it.
        if_unused: bool,
    },
    /// exchange.bind (a RabbitMQ extension)
    BindExchange(BindingSpec),
    /// exchange.unbind (a RabbitMQ extension)
    UnbindExchange(BindingSpec),
    /// queue.declare
    DeclareQueue(QueueSpec),
    /// queue.bind
    BindQueue(BindingSpec),
    /// queue.unbind
    UnbindQueue(BindingSpec),
    /// queue.purge
    PurgeQueue {
        /// The queue.
        name: ShortString,
    },
    /// queue.delete
    DeleteQueue {
        /// The queue.
        name: ShortString,
        /// Only when it has no consumers.
        if_unused: bool,
        /// Only when it has no messages.
        if_empty: bool,
    },
    /// basic.qos
    Limit {
        /// How many unsettled deliveries the broker sends at most; 0 is no limit.
        prefetch: u16,
        /// RabbitMQ: for the channel as a whole, not for each new consumer.
        global: bool,
    },
    /// basic.consume
    Consume(ConsumeSpec),
    /// basic.cancel, for the consumer with this number
    Cancel {
        /// The consumer's number on its channel.
        consumer: u32,
    },
    /// basic.get
    Get {
        /// The queue.
        queue: ShortString,
        /// No acknowledgement is owed.
        automatic: bool,
    },
    /// confirm.select (a RabbitMQ extension)
    ConfirmSelect,
    /// tx.select
    TxSelect,
    /// tx.commit
    TxCommit,
    /// tx.rollback
    TxRollback,
    /// channel.close
    CloseChannel,
}

/// exchange.declare
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeSpec {
    /// The name.
    pub name: ShortString,
    /// The type.
    pub kind: ShortString,
    /// Only ask whether it exists.
    pub passive: bool,
    /// It survives a restart of the broker.
    pub durable: bool,
    /// It is deleted when the last binding from it is.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// The encoded arguments.
    pub arguments: Bytes,
}

/// queue.declare
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueSpec {
    /// The name; empty lets the broker choose.
    pub name: ShortString,
    /// Only ask whether it exists.
    pub passive: bool,
    /// It survives a restart of the broker.
    pub durable: bool,
    /// It belongs to this connection alone and ends with it.
    pub exclusive: bool,
    /// It is deleted when its last consumer leaves.
    pub auto_delete: bool,
    /// The encoded arguments.
    pub arguments: Bytes,
}

/// A binding from an exchange to a queue or an exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingSpec {
    /// The queue or exchange that receives.
    pub destination: ShortString,
    /// The exchange that messages come from.
    pub source: ShortString,
    /// The binding key.
    pub key: ShortString,
    /// The encoded arguments.
    pub arguments: Bytes,
}

/// basic.consume
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumeSpec {
    /// The queue.
    pub queue: ShortString,
    /// No acknowledgement is owed.
    pub automatic: bool,
    /// Refuse any other consumer.
    pub exclusive: bool,
    /// The encoded arguments.
    pub arguments: Bytes,
    /// How many unsettled deliveries the broker sends this consumer at most.
    pub prefetch: Option<u16>,
    /// What becomes of it when it is interrupted.
    pub upkeep: Upkeep,
}

/// What becomes of a consumer that is interrupted, and what it may have missed then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Upkeep {
    /// What it does when its queue is taken from it.
    pub when_cancelled: WhenCancelled,
    /// Its queue goes when the connection does: it is exclusive, or deleted with its last consumer.
    pub queue_is_transient: bool,
    /// Its queue is a stream, of which it reads on behind what it has settled.
    pub is_stream: bool,
}

/// What a consumer does when its queue is taken from it: when the broker cancels it, since the queue
/// was deleted or its leader moved (<https://www.rabbitmq.com/docs/consumer-cancel>), or when the
/// queue could not be declared again after a lost connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenCancelled {
    /// It ends, and says why.
    #[default]
    End,
    /// It waits until the queue is there, looking for it at growing intervals, and subscribes again.
    Resubscribe,
    /// It declares the queue and its bindings again, as this connection declared them, and subscribes
    /// again. A queue that this connection did not declare is looked for instead.
    Redeclare,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It was done.
    Done,
    /// queue.declare-ok
    Declared {
        /// The queue's name, which the broker may have chosen.
        name: ShortString,
        /// Messages that are ready for delivery.
        messages: u32,
        /// Active consumers.
        consumers: u32,
    },
    /// queue.purge-ok or queue.delete-ok
    Removed {
        /// How many messages went.
        messages: u32,
    },
    /// basic.consume-ok
    Consuming(super::ConsumerKey),
    /// basic.get-ok or basic.get-empty
    Got(super::ChannelKey, Option<Box<super::Arrival>>),
    /// channel.open-ok
    Opened(super::ChannelKey),
}

/// The tag of the consumer with this number. Tags are the library's own, so that none is ever
/// used twice (RabbitMQ closes the connection with 530 for that).
pub fn consumer_tag(consumer: u32) -> ShortString {
    ShortString::new(format!("hopmq-{consumer}")).unwrap_or_default()
}

/// The number of the consumer with this tag.
pub fn consumer_number(tag: &[u8]) -> Option<u32> {
    // By hand, since this is done for every delivery; only what `consumer_tag` writes is taken.
    let digits = tag.strip_prefix(b"hopmq-")?;
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number.checked_mul(10)?.checked_add(value.into())
    });
    number.filter(|_| !digits.is_empty())
}

impl Request {
    /// The queue that the request names.
    pub(super) fn queue_mut(&mut self) -> Option<&mut ShortString> {
        Some(match self {
            Request::BindQueue(spec) | Request::UnbindQueue(spec) => &mut spec.destination,
            Request::PurgeQueue { name } | Request::DeleteQueue { name, .. } => name,
            // Whether it is there, and how full.
            Request::DeclareQueue(spec) => &mut spec.name,
            Request::Get { queue, .. } => queue,
            Request::Consume(spec) => &mut spec.queue,
            _ => return None,
        })
    }

    /// The queue that the request names has a new name.
    pub(super) fn rename_queue(&mut self, old: &ShortString, new: &ShortString) {
        if let Some(name) = self.queue_mut().filter(|name| *name == old) {
            *name = new.clone();
        }
    }

    /// Whether answers to later requests may come first. RabbitMQ answers the methods of a channel
    /// one at a time, except that a queue's process answers basic.consume and basic.cancel, and
    /// that a commit is answered when its last message has been stored.
    pub(super) fn may_be_overtaken(&self) -> bool {
        matches!(self, Request::Consume(_) | Request::Cancel { .. } | Request::TxCommit)
    }

    /// The method's name, for errors and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Request::DeclareExchange(_) => exchange::Declare::NAME,
            Request::DeleteExchange { .. } => exchange::Delete::NAME,
            Request::BindExchange(_) => exchange::Bind::NAME,
            Request::UnbindExchange(_) => exchange::Unbind::NAME,
            Request::DeclareQueue(_) => queue::Declare::NAME,
            Request::BindQueue(_) => queue::Bind::NAME,
            Request::UnbindQueue(_) => queue::Unbind::NAME,
            Request::PurgeQueue { .. } => queue::Purge::NAME,
            Request::DeleteQueue { .. } => queue::Delete::NAME,
            Request::Limit { .. } => basic::Qos::NAME,
            Request::Consume(_) => basic::Consume::NAME,
            Request::Cancel { .. } => basic::Cancel::NAME,
            Request::Get { .. } => basic::Get::NAME,
            Request::ConfirmSelect => confirm::Select::NAME,
            Request::TxSelect => tx::Select::NAME,
            Request::TxCommit => tx::Commit::NAME,
            Request::TxRollback => tx::Rollback::NAME,
            Request::CloseChannel => channel::Close::NAME,
        }
    }

    /// Writes the method frame. A consumer is consumed under the number `consumer`.
    pub fn encode(&self, buf: &mut BytesMut, channel: u16, consumer: u32) {
        match self {
            Request::DeclareExchange(spec) => encode::method(buf, channel, &spec.method()),
            Request::DeleteExchange { name, if_unused } => encode::method(
                buf,
                channel,
                &exchange::Delete {
                    exchange: name.as_short(),
                    if_unused: *if_unused,
                    no_wait: false,
                },
            ),
            Request::BindExchange(spec) => encode::method(buf, channel, &spec.bind_exchange()),
            Request::UnbindExchange(spec) => encode::method(buf, channel, &spec.unbind_exchange()),
            Request::DeclareQueue(spec) => encode::method(buf, channel, &spec.method()),
            Request::BindQueue(spec) => encode::method(buf, channel, &spec.bind_queue()),
            Request::UnbindQueue(spec) => encode::method(buf, channel, &spec.unbind_queue()),
            Request::PurgeQueue { name } => encode::method(
                buf,
                channel,
                &queue::Purge { queue: name.as_short(), no_wait: false },
            ),
            Request::DeleteQueue { name, if_unused, if_empty } => encode::method(
                buf,
                channel,
                &queue::Delete {
                    queue: name.as_short(),
                    if_unused: *if_unused,
                    if_empty: *if_empty,
                    no_wait: false,
                },
            ),
            Request::Limit { prefetch, global } => encode::method(
                buf,
                channel,
                &basic::Qos { prefetch_size: 0, prefetch_count: *prefetch, global: *global },
            ),
            Request::Consume(spec) => spec.encode(buf, channel, consumer),
            Request::Cancel { consumer } => encode::method(
                buf,
                channel,
                &basic::Cancel { consumer_tag: consumer_tag(*consumer).as_short(), no_wait: false },
            ),
            Request::Get { queue, automatic } => encode::method(
                buf,
                channel,
                &basic::Get { queue: queue.as_short(), no_ack: *automatic },
            ),
            Request::ConfirmSelect => {
                encode::method(buf, channel, &confirm::Select { no_wait: false });
            }
            Request::TxSelect => encode::method(buf, channel, &tx::Select {}),
            Request::TxCommit => encode::method(buf, channel, &tx::Commit {}),
            Request::TxRollback => encode::method(buf, channel, &tx::Rollback {}),
            Request::CloseChannel => encode::method(buf, channel, &goodbye()),
        }
    }
}

/// channel.close without a complaint.
pub(crate) fn goodbye() -> channel::Close<'static> {
    channel::Close {
        reply_code: 200,
        reply_text: crate::wire::ShortStr::empty(),
        class_id: 0,
        method_id: 0,
    }
}

impl ExchangeSpec {
    fn method(&self) -> exchange::Declare<'_> {
        exchange::Declare {
            exchange: self.name.as_short(),
            kind: self.kind.as_short(),
            passive: self.passive,
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            no_wait: false,
            arguments: RawTable::new(&self.arguments),
        }
    }
}

impl QueueSpec {
    fn method(&self) -> queue::Declare<'_> {
        queue::Declare {
            queue: self.name.as_short(),
            passive: self.passive,
            durable: self.durable,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            no_wait: false,
            arguments: RawTable::new(&self.arguments),
        }
    }
}

impl BindingSpec {
    fn bind_exchange(&self) -> exchange::Bind<'_> {
        exchange::Bind {
            destination: self.destination.as_short(),
            source: self.source.as_short(),
            routing_key: self.key.as_short(),
            no_wait: false,
            arguments: RawTable::new(&self.arguments),
        }
    }

    fn unbind_exchange(&self) -> exchange::Unbind<'_> {
        exchange::Unbind {
            destination: self.destination.as_short(),
            source: self.source.as_short(),
            routing_key: self.key.as_short(),
            no_wait: false,
            arguments: RawTable::new(&self.arguments),
        }
    }

    fn bind_queue(&self) -> queue::Bind<'_> {
        queue::Bind {
            queue: self.destination.as_short(),
            exchange: self.source.as_short(),
            routing_key: self.key.as_short(),
            no_wait: false,
            arguments: RawTable::new(&self.arguments),
        }
    }

    fn unbind_queue(&self) -> queue::Unbind<'_> {
        queue::Unbind {
            queue: self.destination.as_short(),
            exchange: self.source.as_short(),
            routing_key: self.key.as_short(),
            arguments: RawTable::new(&self.arguments),
        }
    }
}

impl ConsumeSpec {
    /// The prefetch goes out just before the consume: on RabbitMQ it is then this consumer's own.
    fn encode(&self, buf: &mut BytesMut, channel: u16, consumer: u32) {
        encode::method(
            buf,
            channel,
            &basic::Consume {
                queue: self.queue.as_short(),
                consumer_tag: consumer_tag(consumer).as_short(),
                no_local: false,
                no_ack: self.automatic,
                exclusive: self.exclusive,
                no_wait: false,
                arguments: RawTable::new(&self.arguments),
            },
        );
    }
}
