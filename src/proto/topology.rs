//! The recorded topology: what this connection declared and what is *still* declared.
//!
//! Only what the broker has confirmed is recorded, a passive declaration never. What was deleted,
//! or deletes itself with its last consumer or binding, is forgotten, so that recovery does not
//! bring it back.

use std::collections::{BTreeMap, BTreeSet};

use super::{BindingSpec, ExchangeSpec, QueueSpec, Reply, Request, Route};
use crate::wire::ShortString;

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

/// Something that recovery declares again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// An exchange.
    Exchange(ExchangeSpec),
    /// A queue under its current name; its specification has none if the broker chose it.
    Queue(ShortString, QueueSpec),
    /// A binding.
    Binding(Destination, BindingSpec),
}

/// The entities that this connection declared, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Topology {
    exchanges: BTreeMap<ShortString, ExchangeSpec>,
    queues: BTreeMap<ShortString, QueueSpec>,
    bindings: BTreeSet<(Destination, BindingSpec)>,
    /// What went with a queue that somebody waits for, by the queue's name, in the order to declare.
    away: BTreeMap<ShortString, Vec<Entity>>,
    /// Names that queues had before the broker named them anew: whoever waited meanwhile has those.
    former: BTreeMap<ShortString, Former>,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Former {
    now: ShortString,
    /// The epoch in which it was given up.
    until: u32,
}

/// For so many epochs a former name is remembered: nobody waits for longer.
const NAMES_KEPT: u32 = 16;

impl Topology {
    /// Records the effect of a request that the broker has answered.
    pub fn record(&mut self, request: &Request, reply: &Reply) {
        match request {
            Request::DeclareExchange(spec) if !spec.passive => {
                self.exchanges.insert(spec.name.clone(), spec.clone());
            }
            Request::DeclareQueue(spec) if !spec.passive => {
                if let Reply::Declared { name, .. } = reply {
                    self.away.remove(name);
                    self.queues.insert(name.clone(), spec.clone());
                }
            }
            Request::BindExchange(spec) => self.bind(Destination::Exchange, spec),
            Request::BindQueue(spec) => self.bind(Destination::Queue, spec),
            Request::UnbindExchange(spec) => self.unbind(Destination::Exchange, spec),
            Request::UnbindQueue(spec) => self.unbind(Destination::Queue, spec),
            Request::DeleteExchange { name, .. } => self.exchange_is_gone(name),
            Request::DeleteQueue { name, .. } => {
                self.away.remove(name);
                self.queue_is_gone(name);
            }
            _ => {}
        }
    }

    /// A queue was deleted, by whomever: its bindings are gone with it.
    pub fn queue_is_gone(&mut self, name: &ShortString) {
        self.queues.remove(name);
        self.forget_bindings(|destination, spec| {
            destination == Destination::Queue && spec.destination == *name
        });
    }

    /// A queue is gone, or seems to be, and somebody waits for it: what goes with it is kept apart.
    pub fn queue_is_away(&mut self, name: &ShortString) {
        let before: Vec<Entity> = self.entities().collect();
        self.queue_is_gone(name);
        let left: Vec<Entity> = self.entities().collect();
        let gone: Vec<Entity> = before.into_iter().filter(|had| !left.contains(had)).collect();
        if !gone.is_empty() {
            self.away.insert(name.clone(), gone);
        }
    }

    /// A queue that was waited for is there again: what went with it counts as declared.
    pub fn queue_is_back(&mut self, name: &ShortString) {
        for entity in self.away.remove(name).unwrap_or_default() {
            match entity {
                Entity::Exchange(spec) => {
                    self.exchanges.insert(spec.name.clone(), spec);
                }
                Entity::Queue(name, spec) => {
                    self.queues.insert(name, spec);
                }
                Entity::Binding(to, spec) => {
                    self.bindings.insert((to, spec));
                }
            }
        }
    }

    /// What went with a queue that is waited for, in the order to declare it.
    pub fn away(&self, queue: &ShortString) -> &[Entity] {
        self.away.get(queue).map_or(&[], Vec::as_slice)
    }

    /// Nobody waits for this queue any more.
    pub fn forget_away(&mut self, waited_for: impl Fn(&ShortString) -> bool) {
        self.away.retain(|queue, _| waited_for(queue));
    }

    /// Whether something is recorded.
    pub fn contains(&self, entity: &Entity) -> bool {
        match entity {
            Entity::Exchange(spec) => self.exchanges.get(&spec.name) == Some(spec),
            Entity::Queue(name, spec) => self.queues.get(name) == Some(spec),
            Entity::Binding(to, spec) => self.bindings.contains(&(*to, spec.clone())),
        }
    }

    /// Whether this connection declared a queue of this name, and it is still there.
    pub fn has_queue(&self, name: &ShortString) -> bool {
        self.queues.contains_key(name)
    }

    /// The last consumer of this connection has left a queue: one that deletes itself is gone.
    pub fn last_consumer_left(&mut self, name: &ShortString) {
        if self.queues.get(name).is_some_and(|spec| spec.auto_delete) {
            self.queue_is_gone(name);
        }
    }

    /// A queue whose name the broker chose has a new one, in this epoch.
    pub fn rename_queue(&mut self, old: &ShortString, new: &ShortString, epoch: u32) {
        self.former.retain(|name, former| name != new && former.until + NAMES_KEPT > epoch);
        for former in self.former.values_mut().filter(|former| former.now == *old) {
            former.now = new.clone();
        }
        if old != new {
            self.former.insert(old.clone(), Former { now: new.clone(), until: epoch });
        }
        if let Some(spec) = self.queues.remove(old) {
            self.queues.insert(new.clone(), spec);
        }
        let renamed = std::mem::take(&mut self.bindings).into_iter().map(|(to, mut spec)| {
            if to == Destination::Queue && spec.destination == *old {
                spec.destination = new.clone();
            }
            (to, spec)
        });
        self.bindings = renamed.collect();
    }

    /// The name that a queue has which once had this one.
    pub fn renamed(&self, once: &str) -> Option<&ShortString> {
        self.former.get(once).map(|former| &former.now)
    }

    /// The same for the queue that messages go to, by the default exchange.
    #[inline]
    pub fn renamed_route(&self, route: &Route<'_>) -> Option<&ShortString> {
        if self.former.is_empty() || !route.exchange.is_empty() {
            return None;
        }
        self.renamed(route.routing_key.to_str().ok()?)
    }

    /// What recovery declares, in order: exchanges, queues, bindings.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        let exchanges = self.exchanges.values().cloned().map(Entity::Exchange);
        let queues =
            self.queues.iter().map(|(name, spec)| Entity::Queue(name.clone(), spec.clone()));
        let bindings = self.bindings.iter().map(|(to, spec)| Entity::Binding(*to, spec.clone()));
        exchanges.chain(queues).chain(bindings)
    }

    fn bind(&mut self, to: Destination, spec: &BindingSpec) {
        self.bindings.insert((to, spec.clone()));
    }

    fn unbind(&mut self, to: Destination, spec: &BindingSpec) {
        let removed = (to, spec.clone());
        self.forget_bindings(|destination, spec| (destination, spec) == (removed.0, &removed.1));
    }

    fn exchange_is_gone(&mut self, name: &ShortString) {
        self.exchanges.remove(name);
        self.forget_bindings(|destination, spec| {
            spec.source == *name
                || (destination == Destination::Exchange && spec.destination == *name)
        });
    }

    /// Forgets bindings, and exchanges that delete themselves with the last of them.
    fn forget_bindings(&mut self, gone: impl Fn(Destination, &BindingSpec) -> bool) {
        let mut sources = BTreeSet::new();
        self.bindings.retain(|(to, spec)| {
            let gone = gone(*to, spec);
            if gone {
                sources.insert(spec.source.clone());
            }
            !gone
        });
        for source in sources {
            let bound = self.bindings.iter().any(|(_, spec)| spec.source == source);
            let deletes_itself = self.exchanges.get(&source).is_some_and(|spec| spec.auto_delete);
            if !bound && deletes_itself {
                self.exchange_is_gone(&source);
            }
        }
    }
}

impl Entity {
    /// Asks for a queue that somebody else declared.
    pub(super) fn known_queue(name: &ShortString) -> Self {
        let spec = QueueSpec {
            name: name.clone(),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: bytes::Bytes::new(),
        };
        Entity::Queue(name.clone(), spec)
    }

    /// What it is, for reports: `queue 'inbox'`.
    pub fn describe(&self) -> String {
        match self {
            Entity::Exchange(spec) => format!("exchange '{}'", spec.name),
            Entity::Queue(name, _) => format!("queue '{name}'"),
            Entity::Binding(to, spec) => {
                let kind = match to {
                    Destination::Exchange => "exchange",
                    Destination::Queue => "queue",
                };
                let BindingSpec { source, destination, key, .. } = spec;
                format!("binding from exchange '{source}' to {kind} '{destination}' by '{key}'")
            }
        }
    }

    /// The request that declares it.
    pub fn request(&self) -> Request {
        match self {
            Entity::Exchange(spec) => Request::DeclareExchange(spec.clone()),
            Entity::Queue(_, spec) => Request::DeclareQueue(spec.clone()),
            Entity::Binding(Destination::Exchange, spec) => Request::BindExchange(spec.clone()),
            Entity::Binding(Destination::Queue, spec) => Request::BindQueue(spec.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn name(name: &str) -> ShortString {
        ShortString::new(name).unwrap()
    }

    fn exchange(text: &str, auto_delete: bool) -> Request {
        Request::DeclareExchange(ExchangeSpec {
            name: name(text),
            kind: name("topic"),
            passive: false,
            durable: true,
            auto_delete,
            internal: false,
            arguments: Bytes::new(),
        })
    }

    fn queue(text: &str, passive: bool, auto_delete: bool) -> Request {
        Request::DeclareQueue(QueueSpec {
            name: name(text),
            passive,
            durable: true,
            exclusive: false,
            auto_delete,
            arguments: Bytes::new(),
        })
    }

    fn bind(queue: &str, exchange: &str) -> BindingSpec {
        let (destination, source) = (name(queue), name(exchange));
        BindingSpec { destination, source, key: name("#"), arguments: Bytes::new() }
    }

    fn declared(text: &str) -> Reply {
        Reply::Declared { name: name(text), messages: 0, consumers: 0 }
    }

    fn described(topology: &Topology) -> Vec<String> {
        topology.entities().map(|entity| entity.describe()).collect()
    }

    #[test]
    fn what_was_deleted_stays_deleted_with_all_that_hung_on_it() {
        let mut topology = Topology::default();
        topology.record(&exchange("orders", false), &Reply::Done);
        topology.record(&queue("inbox", false, false), &declared("inbox"));
        topology.record(&Request::BindQueue(bind("inbox", "orders")), &Reply::Done);
        assert_eq!(described(&topology).len(), 3);
        let delete =
            Request::DeleteQueue { name: name("inbox"), if_unused: false, if_empty: false };
        topology.record(&delete, &Reply::Removed { messages: 0 });
        assert_eq!(described(&topology), ["exchange 'orders'"]);
    }

    #[test]
    fn a_passive_declaration_is_not_recorded() {
        let mut topology = Topology::default();
        topology.record(&queue("theirs", true, false), &declared("theirs"));
        assert!(described(&topology).is_empty());
    }

    #[test]
    fn what_deletes_itself_is_forgotten_when_it_does() {
        let mut topology = Topology::default();
        topology.record(&exchange("orders", true), &Reply::Done);
        topology.record(&queue("inbox", false, true), &declared("inbox"));
        topology.record(&Request::BindQueue(bind("inbox", "orders")), &Reply::Done);
        topology.last_consumer_left(&name("inbox"));
        assert!(described(&topology).is_empty(), "the queue, its binding and the exchange");
    }

    #[test]
    fn a_server_named_queue_takes_its_bindings_along_to_its_new_name() {
        let mut topology = Topology::default();
        topology.record(&queue("", false, false), &declared("amq.gen-1"));
        topology.record(&Request::BindQueue(bind("amq.gen-1", "amq.topic")), &Reply::Done);
        topology.rename_queue(&name("amq.gen-1"), &name("amq.gen-2"), 2);
        assert_eq!(
            described(&topology),
            ["queue 'amq.gen-2'", "binding from exchange 'amq.topic' to queue 'amq.gen-2' by '#'"]
        );
    }

    #[test]
    fn every_name_that_a_queue_had_of_late_leads_to_the_one_it_has() {
        let mut topology = Topology::default();
        topology.record(&queue("", false, false), &declared("amq.gen-1"));
        for epoch in 2..100 {
            let name_at = |epoch| name(&format!("amq.gen-{epoch}"));
            topology.rename_queue(&name_at(epoch - 1), &name_at(epoch), epoch);
        }
        assert_eq!(topology.renamed("amq.gen-98"), Some(&name("amq.gen-99")));
        assert_eq!(topology.renamed("amq.gen-84"), Some(&name("amq.gen-99")));
        assert_eq!(topology.renamed("amq.gen-99"), None, "it is the name");
        assert_eq!(topology.former.len(), NAMES_KEPT as usize, "it does not grow for ever");
    }
}
