//! What is asked of the broker.

use bytes::Bytes;
use hopmq::{
    proto::{BindingSpec, ConsumeSpec, ExchangeSpec, QueueSpec, Request, Upkeep},
    wire::ShortString,
};

pub(crate) fn name(name: &str) -> ShortString {
    ShortString::new(name).unwrap()
}

pub(crate) fn exchange(text: &str, auto_delete: bool) -> Request {
    kind_of_exchange(text, "direct", auto_delete)
}

pub(crate) fn fanout(text: &str) -> Request {
    kind_of_exchange(text, "fanout", false)
}

fn kind_of_exchange(text: &str, kind: &str, auto_delete: bool) -> Request {
    Request::DeclareExchange(ExchangeSpec {
        name: name(text),
        kind: name(kind),
        passive: false,
        durable: true,
        auto_delete,
        internal: false,
        arguments: Bytes::new(),
    })
}

pub(crate) fn queue(text: &str, auto_delete: bool) -> Request {
    Request::DeclareQueue(spec(text, auto_delete))
}

fn spec(text: &str, auto_delete: bool) -> QueueSpec {
    QueueSpec {
        name: name(text),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete,
        arguments: Bytes::new(),
    }
}

pub(crate) fn passive(text: &str) -> Request {
    Request::DeclareQueue(QueueSpec { passive: true, ..spec(text, false) })
}

pub(crate) fn server_named() -> Request {
    Request::DeclareQueue(QueueSpec { exclusive: true, durable: false, ..spec("", false) })
}

fn binding(queue: &str, source: &str, key: &str) -> BindingSpec {
    let (destination, source) = (name(queue), name(source));
    BindingSpec { destination, source, key: name(key), arguments: Bytes::new() }
}

pub(crate) fn bind(queue: &str, source: &str, key: &str) -> Request {
    Request::BindQueue(binding(queue, source, key))
}

pub(crate) fn unbind(queue: &str, source: &str, key: &str) -> Request {
    Request::UnbindQueue(binding(queue, source, key))
}

pub(crate) fn delete_queue(text: &str) -> Request {
    Request::DeleteQueue { name: name(text), if_unused: false, if_empty: false }
}

pub(crate) fn delete_exchange(text: &str) -> Request {
    Request::DeleteExchange { name: name(text), if_unused: false }
}

pub(crate) fn purge(text: &str) -> Request {
    Request::PurgeQueue { name: name(text) }
}

pub(crate) fn get(queue: &str) -> Request {
    Request::Get { queue: name(queue), automatic: false }
}

pub(crate) fn get_automatically(queue: &str) -> Request {
    Request::Get { queue: name(queue), automatic: true }
}

pub(crate) fn cancel(consumer: u32) -> Request {
    Request::Cancel { consumer }
}

pub(crate) fn consume(queue: &str, automatic: bool, prefetch: Option<u16>) -> Request {
    let (queue, arguments, upkeep) = (name(queue), Bytes::new(), Upkeep::default());
    Request::Consume(ConsumeSpec {
        queue,
        automatic,
        exclusive: false,
        arguments,
        prefetch,
        upkeep,
    })
}
