//! Exchanges, their bindings, and the virtual host that holds them: from a message to queues.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    headers::HeadersPattern, message::Message, name::Name, queue::QueueId, refusal::Refusal,
    topic::TopicTrie,
};
use crate::wire::FieldTable;

/// The four types of exchange that AMQP 0-9-1 knows (section 3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

impl ExchangeKind {
    /// As it is named in a declaration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }

    /// Reads the name of a type.
    pub(crate) fn read(name: &[u8]) -> Result<Self, Refusal> {
        match name {
            b"direct" => Ok(ExchangeKind::Direct),
            b"fanout" => Ok(ExchangeKind::Fanout),
            b"topic" => Ok(ExchangeKind::Topic),
            b"headers" => Ok(ExchangeKind::Headers),
            other => Err(Refusal::precondition(format_args!(
                "unknown exchange type '{}'",
                String::from_utf8_lossy(other)
            ))),
        }
    }
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Destination {
    Queue(QueueId),
    Exchange(Name),
}

/// A binding without its source: two with the same destination, key and arguments are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Binding {
    pub(crate) destination: Destination,
    pub(crate) key: Name,
    /// The arguments with their fields sorted, encoded.
    pub(crate) arguments: Bytes,
}

/// An exchange and what is bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub(crate) kind: ExchangeKind,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    pub(crate) internal: bool,
    pub(crate) arguments: FieldTable,
    alternate: Option<Name>,
    bindings: BTreeSet<Binding>,
    index: Index,
}

/// The bindings as matching needs them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Index {
    Direct(BTreeMap<Name, Vec<Destination>>),
    Fanout(Vec<Destination>),
    Topic(TopicTrie<Destination>),
    Headers(Vec<(HeadersPattern, Binding)>),
}

impl Exchange {
    /// An exchange that nothing is bound to.
    pub(crate) fn new(kind: ExchangeKind, arguments: FieldTable) -> Self {
        let alternate = match arguments.get("alternate-exchange") {
            Some(crate::wire::Value::LongString(name)) => Some(Name::shared(name.clone())),
            _ => None,
        };
        Exchange {
            kind,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments,
            alternate,
            bindings: BTreeSet::new(),
            index: match kind {
                ExchangeKind::Direct => Index::Direct(BTreeMap::new()),
                ExchangeKind::Fanout => Index::Fanout(Vec::new()),
                ExchangeKind::Topic => Index::Topic(TopicTrie::new()),
                ExchangeKind::Headers => Index::Headers(Vec::new()),
            },
        }
    }

    /// What is bound to it.
    pub(crate) fn bindings(&self) -> &BTreeSet<Binding> {
        &self.bindings
    }

    fn bind(&mut self, binding: Binding, arguments: &FieldTable) -> Result<bool, Refusal> {
        // RabbitMQ checks the arguments only where it uses them.
        let pattern = match self.kind {
            ExchangeKind::Headers => Some(HeadersPattern::new(arguments)?),
            _ => None,
        };
        if !self.bindings.insert(binding.clone()) {
            return Ok(false);
        }
        match (&mut self.index, pattern) {
            (Index::Direct(keys), _) => {
                keys.entry(binding.key).or_default().push(binding.destination)
            }
            (Index::Fanout(all), _) => all.push(binding.destination),
            (Index::Topic(trie), _) => trie.insert(binding.key.as_bytes(), binding.destination),
            (Index::Headers(patterns), Some(pattern)) => patterns.push((pattern, binding)),
            (Index::Headers(_), None) => {}
        }
        Ok(true)
    }

    fn unbind(&mut self, binding: &Binding) -> bool {
        if !self.bindings.remove(binding) {
            return false;
        }
        match &mut self.index {
            Index::Direct(keys) => {
                if let Some(bound) = keys.get_mut(&binding.key) {
                    remove_one(bound, &binding.destination);
                    if bound.is_empty() {
                        keys.remove(&binding.key);
                    }
                }
            }
            Index::Fanout(all) => remove_one(all, &binding.destination),
            Index::Topic(trie) => trie.remove(binding.key.as_bytes(), &binding.destination),
            Index::Headers(patterns) => patterns.retain(|(_, have)| have != binding),
        }
        true
    }

    fn destinations(&self, message: &Message, mut found: impl FnMut(&Destination)) {
        match &self.index {
            Index::Direct(keys) => {
                for key in message.routing_keys() {
                    keys.get(key).into_iter().flatten().for_each(&mut found);
                }
            }
            Index::Fanout(all) => all.iter().for_each(found),
            Index::Topic(trie) => {
                for key in message.routing_keys() {
                    trie.matches(key.as_bytes(), &mut found);
                }
            }
            Index::Headers(patterns) => {
                let headers = message.headers();
                for (pattern, binding) in patterns {
                    if pattern.matches(&headers) {
                        found(&binding.destination);
                    }
                }
            }
        }
    }
}

/// A virtual host: its own names of exchanges and queues.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VHost {
    pub(crate) name: Name,
    pub(crate) exchanges: BTreeMap<Name, Exchange>,
    pub(crate) queues: BTreeMap<Name, QueueId>,
    /// The bindings that lead to a destination, with their sources, to be removed with it.
    bound: BTreeMap<Destination, BTreeSet<(Name, Binding)>>,
}

impl VHost {
    /// A virtual host with the exchanges that RabbitMQ declares in every one.
    pub(crate) fn new(name: Name) -> Self {
        let exchanges = PREDECLARED
            .iter()
            .map(|&(name, kind)| {
                let mut exchange = Exchange::new(kind, FieldTable::new());
                exchange.durable = true;
                exchange.internal = name == "amq.rabbitmq.trace";
                (Name::literal(name), exchange)
            })
            .collect();
        VHost { name, exchanges, queues: BTreeMap::new(), bound: BTreeMap::new() }
    }

    /// Adds a binding; adding it again changes nothing.
    pub(crate) fn bind(
        &mut self,
        source: &Name,
        binding: Binding,
        arguments: &FieldTable,
    ) -> Result<(), Refusal> {
        if let Some(exchange) = self.exchanges.get_mut(source)
            && exchange.bind(binding.clone(), arguments)?
        {
            self.bound
                .entry(binding.destination.clone())
                .or_default()
                .insert((source.clone(), binding));
        }
        Ok(())
    }

    /// Removes a binding. A source that deletes itself with its last binding goes too.
    pub(crate) fn unbind(&mut self, source: &Name, binding: &Binding) {
        let Some(exchange) = self.exchanges.get_mut(source) else {
            return;
        };
        if !exchange.unbind(binding) {
            return;
        }
        let last = exchange.auto_delete && exchange.bindings.is_empty();
        if let Some(bound) = self.bound.get_mut(&binding.destination) {
            bound.remove(&(source.clone(), binding.clone()));
            if bound.is_empty() {
                self.bound.remove(&binding.destination);
            }
        }
        if last {
            self.delete_exchange(source);
        }
    }

    /// Removes whatever leads to a queue or an exchange that is gone, and the sources that
    /// delete themselves with it. Iterative, since those may form a chain of any length.
    pub(crate) fn forget(&mut self, gone: Destination) {
        let mut pending = vec![gone];
        while let Some(destination) = pending.pop() {
            for (source, binding) in self.bound.remove(&destination).unwrap_or_default() {
                let Some(exchange) = self.exchanges.get_mut(&source) else {
                    continue;
                };
                if exchange.unbind(&binding) && exchange.auto_delete && exchange.bindings.is_empty()
                {
                    self.drop_exchange(&source);
                    pending.push(Destination::Exchange(source));
                }
            }
        }
    }

    /// Deletes an exchange with its bindings in both directions.
    pub(crate) fn delete_exchange(&mut self, name: &Name) {
        self.drop_exchange(name);
        self.forget(Destination::Exchange(name.clone()));
    }

    fn drop_exchange(&mut self, name: &Name) {
        let Some(exchange) = self.exchanges.remove(name) else {
            return;
        };
        for binding in exchange.bindings {
            if let Some(bound) = self.bound.get_mut(&binding.destination) {
                bound.remove(&(name.clone(), binding.clone()));
                if bound.is_empty() {
                    self.bound.remove(&binding.destination);
                }
            }
        }
    }

    /// Whether both ends know of a binding.
    #[cfg(test)]
    pub(crate) fn is_bound(&self, source: &Name, binding: &Binding) -> bool {
        self.bound
            .get(&binding.destination)
            .is_some_and(|bound| bound.contains(&(source.clone(), binding.clone())))
    }

    /// The queues that a message goes to, each once. Alternate exchanges take what an exchange
    /// has no binding for.
    pub(crate) fn route(&self, exchange: &Name, message: &Message, found: &mut Vec<QueueId>) {
        found.clear();
        if exchange.is_empty() {
            found.extend(message.routing_keys().filter_map(|key| self.queues.get(key)));
        } else {
            self.route_through(exchange, message, found);
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    fn route_through(&self, first: &Name, message: &Message, found: &mut Vec<QueueId>) {
        let mut pending: Vec<&Name> = vec![first];
        let mut seen: BTreeSet<Name> = BTreeSet::new();
        while let Some(name) = pending.pop() {
            let Some((name, exchange)) = self.exchanges.get_key_value(name) else {
                continue;
            };
            let mut onward: Vec<Name> = Vec::new();
            let mut none = true;
            exchange.destinations(message, |destination| {
                none = false;
                match destination {
                    Destination::Queue(queue) => found.push(*queue),
                    Destination::Exchange(next) => onward.push(next.clone()),
                }
            });
            if none {
                onward.extend(exchange.alternate.clone());
            }
            if onward.is_empty() {
                continue;
            }
            seen.insert(name.clone());
            for next in onward {
                if next.is_empty() {
                    // The default exchange as an alternate: to the queue of that name.
                    found.extend(message.routing_keys().filter_map(|key| self.queues.get(key)));
                } else if seen.insert(next.clone())
                    && let Some((next, _)) = self.exchanges.get_key_value(&next)
                {
                    pending.push(next);
                }
            }
        }
    }
}

/// Encodes binding arguments so that their order does not matter.
pub(crate) fn canonical(arguments: &FieldTable) -> Bytes {
    let mut fields: Vec<_> = arguments.iter().collect();
    fields.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let mut sorted = FieldTable::new();
    for (name, value) in fields {
        super::message::put(&mut sorted, name.as_str(), value.clone());
    }
    sorted.encode()
}

fn remove_one(from: &mut Vec<Destination>, what: &Destination) {
    if let Some(found) = from.iter().position(|have| have == what) {
        from.swap_remove(found);
    }
}

const PREDECLARED: &[(&str, ExchangeKind)] = &[
    ("", ExchangeKind::Direct),
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.topic", ExchangeKind::Topic),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
    ("amq.rabbitmq.trace", ExchangeKind::Topic),
];
