//! Dead letters: messages that a queue gives up, published again with their history.

use std::sync::Arc;

use super::{
    Core, Message, Name,
    message::{self, Death, Facts, put},
    queue::{Entry, QueueId},
};
use crate::{
    fsm::Time,
    wire::{FieldTable, Value},
};

/// Why a queue gave a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The reason of that name.
pub(crate) fn reason(name: &[u8]) -> Option<&'static str> {
    [Reason::Rejected, Reason::Expired, Reason::MaxLength, Reason::DeliveryLimit]
        .map(Reason::name)
        .into_iter()
        .find(|known| known.as_bytes() == name)
}

/// A message that its queue gave up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dead {
    queue: QueueId,
    /// Its place there, where it was in the queue.
    place: u64,
    message: Arc<Message>,
    reason: Reason,
    /// Whether it counts among what is stored.
    stored: bool,
    /// Whether a consumer has had it.
    redelivered: bool,
}

impl Dead {
    /// Something that was in the queue.
    pub(crate) fn of_entry(queue: QueueId, entry: Entry, reason: Reason) -> Self {
        // RabbitMQ tells so of what a consumer gave back, and not of what expired behind it.
        let redelivered = matches!(reason, Reason::Rejected | Reason::DeliveryLimit);
        Dead {
            queue,
            place: entry.place,
            message: entry.message,
            reason,
            stored: true,
            redelivered,
        }
    }

    /// Something that the queue did not take in.
    pub(crate) fn of_message(queue: QueueId, message: Arc<Message>, reason: Reason) -> Self {
        Dead { queue, place: 0, message, reason, stored: false, redelivered: false }
    }
}

impl Core {
    /// Publishes what queues gave up to their dead letter exchanges. A loop and not recursion:
    /// one dead letter may push the next one out of another queue, through any number of them.
    pub(super) fn settle_dead(&mut self, now: Time) {
        while let Some(dead) = self.dead.pop_front() {
            if dead.stored {
                self.release(&dead.message);
            }
            self.publish_dead(&dead, now);
            if dead.stored {
                self.message_gone(dead.queue, dead.place, &dead.message);
            }
        }
    }

    fn publish_dead(&mut self, dead: &Dead, now: Time) {
        let time = self.wall_clock(now);
        let Some(queue) = self.queues.get(&dead.queue) else {
            return;
        };
        let Some(exchange) = &queue.settings.dead_letter_exchange else {
            return;
        };
        let Some(vhost) = self.vhosts.get(queue.vhost) else {
            return;
        };
        if !vhost.exchanges.contains_key(exchange) {
            return;
        }
        let key = queue.settings.dead_letter_key.clone();
        let letter = letter(dead, &queue.name, exchange.clone(), key, time);
        let mut targets = Vec::new();
        vhost.route(exchange, &letter, &mut targets);
        if dead.reason != Reason::Rejected {
            targets.retain(|target| {
                self.queues
                    .get(target)
                    .is_some_and(|target| !is_cycle(&target.name, &letter.deaths))
            });
        }
        let letter = Arc::new(letter);
        for target in targets {
            self.enqueue(target, &letter, now);
        }
    }
}

/// A message is not sent round in circles by the broker alone: it is dropped where it comes back
/// to a queue and no consumer has rejected it on the way.
fn is_cycle(target: &Name, deaths: &[Death]) -> bool {
    let Some(last) = deaths.iter().position(|death| death.queue == *target) else {
        return false;
    };
    deaths.iter().take(last + 1).all(|death| death.reason != Reason::Rejected.name())
}

fn letter(dead: &Dead, queue: &Name, exchange: Name, key: Option<Name>, time: u64) -> Message {
    let source = &*dead.message;
    let facts = &source.facts;
    let mut deaths = source.deaths.clone();
    record(&mut deaths, dead, queue, time);
    let mut properties = message::decode(&source.properties).unwrap_or_default();
    // It must not expire again where it goes (RabbitMQ: the property is removed).
    properties.expiration = None;
    let death = Value::Array(deaths.iter().map(table).collect());
    let last = [
        ("x-last-death-exchange", text(&source.exchange)),
        ("x-last-death-queue", text(queue)),
        ("x-last-death-reason", literal(dead.reason.name())),
        ("x-death", death),
    ];
    if source.deaths.is_empty() {
        let first = [
            ("x-first-death-exchange", text(&source.exchange)),
            ("x-first-death-queue", text(queue)),
            ("x-first-death-reason", literal(dead.reason.name())),
        ];
        message::add_headers(&mut properties, first);
    }
    message::add_headers(&mut properties, last);
    let (routing_key, copies) = match key {
        Some(key) => (key, Vec::new()),
        None => (source.routing_key.clone(), facts.copies.clone()),
    };
    Message {
        exchange,
        routing_key,
        properties: message::encode(&properties),
        body: source.body.clone(),
        facts: Facts {
            expiration: None,
            headers: true,
            redelivered: dead.redelivered,
            open_copies: facts.open_copies.min(copies.len()),
            copies,
            ..facts.clone()
        },
        deaths,
    }
}

/// Counts a death where the message died before for the same reason, or adds it; the latest
/// comes first.
fn record(deaths: &mut Vec<Death>, dead: &Dead, queue: &Name, time: u64) {
    let source = &*dead.message;
    let known =
        deaths.iter().position(|death| death.queue == *queue && death.reason == dead.reason.name());
    let death = match known {
        Some(index) => {
            let mut death = deaths.remove(index);
            death.count += 1;
            death
        }
        None => Death {
            count: 1,
            reason: dead.reason.name(),
            queue: queue.clone(),
            time,
            exchange: source.exchange.clone(),
            routing_keys: source
                .routing_keys()
                .take(1 + source.facts.open_copies)
                .cloned()
                .collect(),
            original_expiration: source.facts.expiration,
        },
    };
    deaths.insert(0, death);
}

/// A death as it stands in `x-death`.
fn table(death: &Death) -> Value {
    let mut table = FieldTable::new();
    put(&mut table, "count", Value::I64(i64::try_from(death.count).unwrap_or(i64::MAX)));
    put(&mut table, "reason", literal(death.reason));
    put(&mut table, "queue", text(&death.queue));
    put(&mut table, "time", Value::Timestamp(death.time));
    put(&mut table, "exchange", text(&death.exchange));
    let keys = death.routing_keys.iter().map(text).collect();
    put(&mut table, "routing-keys", Value::Array(keys));
    if let Some(expiration) = death.original_expiration {
        let expiration = Value::LongString(expiration.to_string().into());
        put(&mut table, "original-expiration", expiration);
    }
    Value::Table(table)
}

fn text(name: &Name) -> Value {
    Value::LongString(bytes::Bytes::copy_from_slice(name.as_bytes()))
}

fn literal(text: &'static str) -> Value {
    Value::LongString(bytes::Bytes::from_static(text.as_bytes()))
}
