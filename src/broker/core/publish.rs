//! Publishing: checks, routing, returns and confirms.

use std::sync::Arc;

use super::{
    At, Content, Core, Message, Name, Output, Refusal,
    arguments::Overflow,
    channel::{Mode, Pending},
    dead_letter::{Dead, Reason},
    message::{self, Facts},
    queue::QueueId,
    refusal::Refusal as Refused,
    topology::exchange_entity,
};
use crate::{
    broker::{
        ConnectionId,
        event::{Budget, Event},
        permissions::Access,
    },
    fsm::Time,
    wire::{Properties, method::basic},
};

impl Core {
    /// basic.publish with its content
    pub(crate) fn publish(
        &mut self,
        at: At,
        method: &basic::Publish<'_>,
        content: Content,
        now: Time,
    ) -> Result<(), Refusal> {
        if method.immediate {
            return Err(Refusal::not_implemented("immediate=true"));
        }
        self.check_size(content.body.len())?;
        if self.peers.get(&at.conn).is_some_and(|peer| peer.permissions.is_some()) {
            let (exchange, key) = (Name::from(method.exchange), method.routing_key.as_bytes());
            self.assert_exchange(at.conn, Access::Write, &exchange)?;
            self.assert_topic(at.conn, Access::Write, &exchange, key)?;
        }
        let exchange = self.publishable(at, method.exchange.as_bytes())?;
        let message = Arc::new(self.message(at, exchange, method, content)?);
        if let Some(peer) = self.peers.get_mut(&at.conn) {
            peer.publishes = true;
        }
        self.note_arrival(at, &message);
        let mut queues = std::mem::take(&mut self.routed);
        self.vhost_of(at.conn)?.route(&message.exchange, &message, &mut queues);
        let result = self.take_in(at, message, &queues, method.mandatory, now);
        self.routed = queues;
        result
    }

    fn note_arrival(&mut self, at: At, message: &Message) {
        self.journal.counts.arrived += 1;
        if self.journal.watched {
            self.journal.note(Event::Arrived {
                connection: ConnectionId(at.conn),
                channel: at.channel,
                exchange: message.exchange.to_string(),
                routing_key: message.routing_key.to_string(),
                size: message.size(),
            });
        }
    }

    /// Delivers or keeps for the commit what was routed.
    fn take_in(
        &mut self,
        at: At,
        message: Arc<Message>,
        queues: &[QueueId],
        mandatory: bool,
        now: Time,
    ) -> Result<(), Refusal> {
        let limit = self.limits.transaction;
        if let Mode::Tx(transaction) = &mut self.channel(at)?.mode {
            transaction.cost += message.cost() + size_of_val(queues);
            if transaction.cost > limit {
                // As for one message that is too large: other channels go on.
                return Err(Refusal::precondition(format_args!(
                    "transaction is larger than configured max size {limit}"
                ))
                .for_budget(Budget::Transaction));
            }
            transaction.publishes.push(Pending { message, queues: queues.to_vec(), mandatory });
            return Ok(());
        }
        let confirms = matches!(self.channel(at)?.mode, Mode::Confirm(_));
        if confirms && self.mischief.nack_publishes > 0 {
            self.mischief.nack_publishes -= 1;
            return self.confirm(at, false, now);
        }
        let accepted = self.deliver_to(at, message, queues, mandatory, now);
        self.settle_dead(now);
        if confirms {
            self.confirm(at, accepted, now)?;
        }
        Ok(())
    }

    /// Puts a message into queues, or returns it where there are none and it is mandatory.
    /// Tells whether every queue took it.
    pub(super) fn deliver_to(
        &mut self,
        at: At,
        message: Arc<Message>,
        queues: &[QueueId],
        mandatory: bool,
        now: Time,
    ) -> bool {
        if queues.is_empty() {
            if !self.deliver_reply(&message) && mandatory {
                let channel = at.channel;
                self.push(at.conn, Output::Return { channel, message });
            }
            return true;
        }
        let mut accepted = true;
        for &queue in queues {
            accepted &= self.enqueue(queue, &message, now);
        }
        accepted
    }

    /// Puts a message into a queue. Tells whether the queue took it.
    pub(super) fn enqueue(&mut self, id: QueueId, message: &Arc<Message>, now: Time) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else {
            return true;
        };
        let settings = &queue.settings;
        self.stored += message.cost();
        if let Some(log) = &mut queue.log {
            let first = log.first();
            let appended = log.append(Arc::clone(message), now, &settings.retention);
            let gone = first..log.first();
            self.stored = self.stored.saturating_sub(appended.freed);
            self.message_came(id, appended.offset, message, now);
            if let Some(durable) = &mut self.durable {
                gone.for_each(|offset| durable.gone(id, offset));
            }
            let Some(queue) = self.queues.get_mut(&id) else { return true };
            queue.consumers.wait_all();
            self.dispatch(id, now);
            return true;
        }
        if settings.overflow != Overflow::DropHead && queue.is_full() {
            self.stored = self.stored.saturating_sub(message.cost());
            if settings.overflow == Overflow::RejectPublishDlx {
                self.dead.push_back(Dead::of_message(id, Arc::clone(message), Reason::MaxLength));
            }
            return false;
        }
        let expires = queue.expiry_of(message, now);
        queue.expiring |= expires.is_some();
        let place = queue.ready.publish(Arc::clone(message), expires);
        let waiting = queue.consumers.waiting();
        self.message_came(id, place, message, now);
        if waiting {
            self.dispatch(id, now);
        }
        self.trim(id, now);
        true
    }

    fn confirm(&mut self, at: At, ack: bool, now: Time) -> Result<(), Refusal> {
        let batch = self.pending_batch();
        let delay = self.mischief.delay_confirms;
        // Without a delay all are alike, whenever they came: they are told together.
        let due = if delay.is_zero() { Time::ZERO } else { now + delay };
        if let Mode::Confirm(confirms) = &mut self.channel(at)?.mode {
            confirms.record(ack, batch, due);
            if let Some(peer) = self.peers.get_mut(&at.conn) {
                peer.owes_confirms(at.channel);
            }
        }
        Ok(())
    }

    fn check_size(&self, size: usize) -> Result<(), Refusal> {
        let max = self.limits.max_message_size;
        if size <= max {
            return Ok(());
        }
        let configured = match max {
            PROTOCOL_MAX_MESSAGE => "max size",
            _ => "configured max size",
        };
        Err(Refused::precondition(format_args!(
            "message size {size} is larger than {configured} {max}"
        ))
        .for_budget(Budget::MessageSize))
    }

    /// The exchange's own copy of its name, if clients may publish to it.
    fn publishable(&mut self, at: At, name: &[u8]) -> Result<Name, Refusal> {
        let vhost = self.vhost_of(at.conn)?;
        match vhost.exchanges.get_key_value(name) {
            Some((name, exchange)) if !exchange.internal => Ok(name.clone()),
            found => {
                let name = Name::copy(name);
                let entity = exchange_entity(&name, &vhost.name);
                Err(match found {
                    Some(_) => Refusal::access(format_args!("cannot publish to internal {entity}")),
                    None => Refusal::not_found(entity),
                })
            }
        }
    }

    fn message(
        &mut self,
        at: At,
        exchange: Name,
        method: &basic::Publish<'_>,
        content: Content,
    ) -> Result<Message, Refusal> {
        let (mut facts, properties) = message::facts(&content.properties)?;
        let mut raw = content.properties;
        if let Some(mut properties) = properties
            && self.adapt(at, &mut properties, &mut facts)?
        {
            raw = message::encode(&properties);
        }
        Ok(Message {
            exchange,
            routing_key: Name::from(method.routing_key),
            properties: raw,
            body: content.body,
            facts,
            deaths: Vec::new(),
        })
    }

    /// Checks the user id, resolves the reply address and takes CC and BCC. Tells whether the
    /// properties changed.
    fn adapt(
        &mut self,
        at: At,
        properties: &mut Properties,
        facts: &mut Facts,
    ) -> Result<bool, Refusal> {
        let resolved = self.override_reply_to(at, properties)?;
        if let Some(claimed) = &properties.user_id {
            let user = self.peers.get(&at.conn).map_or(Name::EMPTY, |peer| peer.user.clone());
            if claimed.as_str().as_bytes() != user.as_bytes() {
                return Err(Refusal::precondition(format_args!(
                    "user_id property set to '{claimed}' but authenticated user was '{user}'"
                )));
            }
        }
        let stripped = message::copies(properties, facts)?;
        Ok(resolved || stripped)
    }
}

/// RabbitMQ's own limit, which it words differently from a configured one.
const PROTOCOL_MAX_MESSAGE: usize = 536_870_912;
