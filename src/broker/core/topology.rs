//! Declaring, binding and deleting exchanges and queues.

use super::{
    At, ConnId, Core, Name, Refusal, Reply,
    arguments::{QueueKind, assert_field, inequivalent},
    exchange::{Binding, Destination, Exchange, ExchangeKind, VHost, canonical},
    queue::QueueId,
    refusal::Entity,
    reply_to::is_address,
    stream::Log,
};
use crate::{
    broker::permissions::Access,
    fsm::Time,
    wire::{
        FieldTable, RawTable, ReplyCode, ShortStr, Value,
        method::{exchange, queue},
    },
};

impl Core {
    /// exchange.declare
    pub(crate) fn exchange_declare(
        &mut self,
        at: At,
        method: &exchange::Declare<'_>,
    ) -> Result<(), Refusal> {
        let name = clean(method.exchange);
        if method.passive {
            refuse_default(&name)?;
            self.assert_any_access(at.conn, "exchange", &name)?;
            find_exchange(self.vhost_of(at.conn)?, &name)?;
        } else {
            let kind = ExchangeKind::read(method.kind.as_bytes())?;
            refuse_default(&name)?;
            self.assert_exchange(at.conn, Access::Configure, &name)?;
            let arguments = decode(method.arguments)?;
            let new = !self.vhost_of(at.conn)?.exchanges.contains_key(&name);
            if let (true, Some(Value::LongString(alternate))) =
                (new, arguments.get("alternate-exchange"))
            {
                self.assert_exchange(at.conn, Access::Read, &name)?;
                self.assert_exchange(at.conn, Access::Write, &Name::shared(alternate.clone()))?;
            }
            let vhost = self.vhost_of(at.conn)?;
            match vhost.exchanges.get(&name) {
                Some(exchange) => {
                    let entity = exchange_entity(&name, &vhost.name);
                    assert_same_exchange(entity, exchange, kind, method, &arguments)?;
                }
                None => {
                    declare_exchange(vhost, name, kind, method, arguments)?;
                    self.topology_changed();
                }
            }
        }
        self.answer(at, method.no_wait, Reply::ExchangeDeclareOk);
        Ok(())
    }

    /// exchange.delete. One that does not exist is deleted already.
    pub(crate) fn exchange_delete(
        &mut self,
        at: At,
        method: &exchange::Delete<'_>,
    ) -> Result<(), Refusal> {
        let name = clean(method.exchange);
        refuse_default(&name)?;
        if name.as_bytes().starts_with(b"amq.") {
            let entity = exchange_entity(&name, &self.vhost_of(at.conn)?.name);
            return Err(Refusal::access(format_args!("deletion of system {entity} not allowed")));
        }
        self.assert_exchange(at.conn, Access::Configure, &name)?;
        let vhost = self.vhost_of(at.conn)?;
        let entity = exchange_entity(&name, &vhost.name);
        if let Some(exchange) = vhost.exchanges.get(&name) {
            if method.if_unused && !exchange.bindings().is_empty() {
                return Err(Refusal::precondition(format_args!("{entity} in use")));
            }
            vhost.delete_exchange(&name);
            self.topology_changed();
        }
        self.answer(at, method.no_wait, Reply::ExchangeDeleteOk);
        Ok(())
    }

    /// exchange.bind
    pub(crate) fn exchange_bind(
        &mut self,
        at: At,
        method: &exchange::Bind<'_>,
    ) -> Result<(), Refusal> {
        let destination = clean(method.destination);
        let source = clean(method.source);
        self.bind_exchange(
            at.conn,
            &source,
            destination,
            method.routing_key,
            method.arguments,
            true,
        )?;
        self.answer(at, method.no_wait, Reply::ExchangeBindOk);
        Ok(())
    }

    /// exchange.unbind
    pub(crate) fn exchange_unbind(
        &mut self,
        at: At,
        method: &exchange::Unbind<'_>,
    ) -> Result<(), Refusal> {
        let destination = clean(method.destination);
        let source = clean(method.source);
        self.bind_exchange(
            at.conn,
            &source,
            destination,
            method.routing_key,
            method.arguments,
            false,
        )?;
        self.answer(at, method.no_wait, Reply::ExchangeUnbindOk);
        Ok(())
    }

    /// queue.bind
    pub(crate) fn queue_bind(&mut self, at: At, method: &queue::Bind<'_>) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        // With both names empty the key stands for the last queue too (AMQP 0-9-1 queue.bind).
        let key = match method.routing_key.is_empty() && method.queue.is_empty() {
            true => name.clone(),
            false => Name::from(method.routing_key),
        };
        self.bind_queue(at.conn, &clean(method.exchange), name, key, method.arguments, true)?;
        self.answer(at, method.no_wait, Reply::QueueBindOk);
        Ok(())
    }

    /// queue.unbind
    pub(crate) fn queue_unbind(
        &mut self,
        at: At,
        method: &queue::Unbind<'_>,
    ) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        let key = match method.routing_key.is_empty() && method.queue.is_empty() {
            true => name.clone(),
            false => Name::from(method.routing_key),
        };
        self.bind_queue(at.conn, &clean(method.exchange), name, key, method.arguments, false)?;
        self.reply(at, Reply::QueueUnbindOk);
        Ok(())
    }

    /// queue.purge
    pub(crate) fn queue_purge(
        &mut self,
        at: At,
        method: &queue::Purge<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        self.assert_queue(at.conn, Access::Read, &name)?;
        let id = self.find_queue(at.conn, &name)?;
        self.expire(id, now);
        self.settle_dead(now);
        let mut purged = 0;
        if let Some(queue) = self.queues.get_mut(&id) {
            if queue.log.is_some() {
                let vhost = vhost_name(&self.vhosts, queue.vhost);
                let entity = queue_entity(&name, &vhost);
                return Err(Refusal::not_implemented(format_args!(
                    "queue.purge not supported by stream queues {entity}"
                )));
            }
            let messages = queue.ready.purge();
            let cost: usize = messages.iter().map(|entry| entry.message.cost()).sum();
            purged = messages.len() as u64;
            self.stored = self.stored.saturating_sub(cost);
            for entry in messages {
                self.message_gone(id, entry.place, &entry.message);
            }
        }
        self.arm(id);
        self.answer(at, method.no_wait, Reply::QueuePurgeOk(counted(purged)));
        Ok(())
    }

    /// queue.delete. One that does not exist is deleted already.
    pub(crate) fn queue_delete(
        &mut self,
        at: At,
        method: &queue::Delete<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let name = self.named_queue(at, method.queue)?;
        self.assert_queue(at.conn, Access::Configure, &name)?;
        let vhost = self.vhost_of(at.conn)?;
        let Some(&id) = vhost.queues.get(&name) else {
            self.answer(at, method.no_wait, Reply::QueueDeleteOk(0));
            return Ok(());
        };
        self.expire(id, now);
        self.settle_dead(now);
        self.assert_deletable(at.conn, id, method)?;
        let deleted = self.queues.get(&id).map_or(0, |queue| queue.ready.len());
        // As in RabbitMQ, the answer comes before the cancellations of the queue's consumers.
        self.answer(at, method.no_wait, Reply::QueueDeleteOk(counted(deleted)));
        self.delete_queue(id, now);
        self.settle_dead(now);
        Ok(())
    }

    /// Deletes a queue with its messages and bindings, and tells its consumers.
    pub(super) fn delete_queue(&mut self, id: QueueId, _now: Time) {
        let Some(mut queue) = self.queues.remove(&id) else {
            return;
        };
        if queue.durable {
            self.queue_gone(id);
        }
        let ready: usize = queue.ready.purge().iter().map(|entry| entry.message.cost()).sum();
        let appended = queue.log.as_ref().map_or(0, Log::cost);
        self.stored = self.stored.saturating_sub(ready + appended);
        if let Some(due) = queue.timer {
            self.timers.remove(&(due, id));
        }
        if let Some(vhost) = self.vhosts.get_mut(queue.vhost) {
            vhost.queues.remove(&queue.name);
            vhost.forget(Destination::Queue(id));
        }
        if let Some(owner) = queue.owner.and_then(|owner| self.peers.get_mut(&owner)) {
            owner.exclusive.remove(&id);
        }
        for (_, consumer) in queue.consumers.iter() {
            let at = At { conn: consumer.conn, channel: consumer.channel };
            self.notify_cancel(at, &consumer.tag);
        }
    }

    /// The queue that a method means: the empty name is the last one declared on the channel.
    pub(super) fn named_queue(&mut self, at: At, name: ShortStr<'_>) -> Result<Name, Refusal> {
        if !name.is_empty() {
            return Ok(clean(name));
        }
        match &self.channel(at)?.last_queue {
            last if last.is_empty() => {
                Err(Refusal::new(ReplyCode::NOT_FOUND, "no previously declared queue"))
            }
            last => Ok(last.clone()),
        }
    }

    /// A queue that exists and is not exclusive to another connection.
    pub(super) fn find_queue(&mut self, conn: ConnId, name: &Name) -> Result<QueueId, Refusal> {
        let vhost = self.vhost_of(conn)?;
        let entity_vhost = vhost.name.clone();
        let entity = queue_entity(name, &entity_vhost);
        let Some(&id) = vhost.queues.get(name) else {
            return Err(Refusal::not_found(entity));
        };
        match self.queues.get(&id) {
            Some(queue) if queue.owner.is_none_or(|owner| owner == conn) => Ok(id),
            Some(_) => Err(Refusal::locked(entity)),
            None => Err(Refusal::not_found(entity)),
        }
    }

    pub(super) fn vhost_of(&mut self, conn: ConnId) -> Result<&mut VHost, Refusal> {
        let index = self.peers.get(&conn).map_or(usize::MAX, |peer| peer.vhost);
        self.vhosts
            .get_mut(index)
            .ok_or_else(|| Refusal::new(ReplyCode::INTERNAL_ERROR, "the connection is not open"))
    }

    fn assert_deletable(
        &self,
        conn: ConnId,
        id: QueueId,
        method: &queue::Delete<'_>,
    ) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(&id) else {
            return Ok(());
        };
        let vhost = vhost_name(&self.vhosts, queue.vhost);
        let entity = queue_entity(&queue.name, &vhost);
        if queue.owner.is_some_and(|owner| owner != conn) {
            return Err(Refusal::locked(entity));
        }
        let unsupported = |flag| {
            Refusal::not_implemented(format_args!(
                "cannot delete {entity}. queue.delete operations with {flag} flag set are not \
                 supported by quorum queues"
            ))
        };
        match queue.settings.kind {
            QueueKind::Quorum if method.if_unused => Err(unsupported("if-unused")),
            QueueKind::Quorum if method.if_empty => Err(unsupported("if-empty")),
            QueueKind::Classic if method.if_unused && !queue.consumers.is_empty() => {
                Err(Refusal::precondition(format_args!("{entity} in use")))
            }
            QueueKind::Classic if method.if_empty && !queue.ready.is_empty() => {
                Err(Refusal::precondition(format_args!("{entity} not empty")))
            }
            _ => Ok(()),
        }
    }

    fn bind_queue(
        &mut self,
        conn: ConnId,
        source: &Name,
        name: Name,
        key: Name,
        arguments: RawTable<'_>,
        add: bool,
    ) -> Result<(), Refusal> {
        if is_address(&name) {
            return Err(Refusal::access(
                "cannot bind or unbind to a volatile (direct reply-to) queue",
            ));
        }
        self.assert_queue(conn, Access::Write, &name)?;
        refuse_default(source)?;
        self.assert_exchange(conn, Access::Read, source)?;
        self.assert_topic(conn, Access::Read, source, key.as_bytes())?;
        let arguments = decode(arguments)?;
        if !add && !self.vhost_of(conn)?.queues.contains_key(&name) {
            return Ok(());
        }
        let destination = Destination::Queue(self.find_queue(conn, &name)?);
        self.change_binding(conn, source, destination, key, &arguments, add)
    }

    fn bind_exchange(
        &mut self,
        conn: ConnId,
        source: &Name,
        destination: Name,
        key: ShortStr<'_>,
        arguments: RawTable<'_>,
        add: bool,
    ) -> Result<(), Refusal> {
        self.assert_exchange(conn, Access::Write, &destination)?;
        refuse_default(&destination)?;
        refuse_default(source)?;
        self.assert_exchange(conn, Access::Read, source)?;
        self.assert_topic(conn, Access::Read, source, key.as_bytes())?;
        let arguments = decode(arguments)?;
        let vhost = self.vhost_of(conn)?;
        if add {
            find_exchange(vhost, source)?;
            find_exchange(vhost, &destination)?;
        }
        let destination = Destination::Exchange(destination);
        self.change_binding(conn, source, destination, Name::from(key), &arguments, add)
    }

    fn change_binding(
        &mut self,
        conn: ConnId,
        source: &Name,
        destination: Destination,
        key: Name,
        arguments: &FieldTable,
        add: bool,
    ) -> Result<(), Refusal> {
        let binding = Binding { destination, key, arguments: canonical(arguments) };
        self.topology_changed();
        let vhost = self.vhost_of(conn)?;
        if !add {
            vhost.unbind(source, &binding);
            return Ok(());
        }
        find_exchange(vhost, source)?;
        vhost.bind(source, binding, arguments)
    }
}

/// Names a queue in a text.
pub(super) fn queue_entity<'a>(name: &'a Name, vhost: &'a Name) -> Entity<'a> {
    Entity { kind: "queue", name, vhost }
}

/// Names an exchange in a text.
pub(super) fn exchange_entity<'a>(name: &'a Name, vhost: &'a Name) -> Entity<'a> {
    Entity { kind: "exchange", name, vhost }
}

/// The name of a virtual host by its index.
pub(super) fn vhost_name(vhosts: &[VHost], index: usize) -> Name {
    vhosts.get(index).map_or(Name::EMPTY, |vhost| vhost.name.clone())
}

/// A count as the protocol has room for.
pub(super) fn counted(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Decodes arguments. RabbitMQ fails with a syntax error where it cannot.
pub(super) fn decode(arguments: RawTable<'_>) -> Result<FieldTable, Refusal> {
    arguments.decode().map_err(|error| {
        Refusal::new(ReplyCode::SYNTAX_ERROR, format_args!("cannot decode arguments: {error}"))
    })
}

/// RabbitMQ drops line ends from the names of entities.
pub(super) fn clean(name: ShortStr<'_>) -> Name {
    let octets = name.as_bytes();
    if !octets.iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
        return Name::copy(octets);
    }
    let kept: Vec<u8> =
        octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    Name::copy(&kept)
}

fn refuse_default(exchange: &Name) -> Result<(), Refusal> {
    if exchange.is_empty() {
        return Err(Refusal::access("operation not permitted on the default exchange"));
    }
    Ok(())
}

fn find_exchange<'a>(vhost: &'a VHost, name: &Name) -> Result<&'a Exchange, Refusal> {
    vhost.exchanges.get(name).ok_or_else(|| Refusal::not_found(exchange_entity(name, &vhost.name)))
}

fn declare_exchange(
    vhost: &mut VHost,
    name: Name,
    kind: ExchangeKind,
    method: &exchange::Declare<'_>,
    arguments: FieldTable,
) -> Result<(), Refusal> {
    if name.as_bytes().starts_with(b"amq.") {
        return Err(Refusal::access(format_args!(
            "exchange name '{name}' contains reserved prefix 'amq.*'"
        )));
    }
    match arguments.get("alternate-exchange") {
        None | Some(Value::LongString(_)) => {}
        Some(other) => {
            return Err(Refusal::precondition(format_args!(
                "invalid type '{}' for arg 'alternate-exchange' in {}",
                super::arguments::type_name(other),
                exchange_entity(&name, &vhost.name)
            )));
        }
    }
    let mut exchange = Exchange::new(kind, arguments);
    exchange.durable = method.durable;
    exchange.auto_delete = method.auto_delete;
    exchange.internal = method.internal;
    vhost.exchanges.insert(name, exchange);
    Ok(())
}

fn assert_same_exchange(
    entity: Entity<'_>,
    exchange: &Exchange,
    kind: ExchangeKind,
    method: &exchange::Declare<'_>,
    arguments: &FieldTable,
) -> Result<(), Refusal> {
    if exchange.kind != kind {
        let quoted = |kind: ExchangeKind| format!("'{}'", kind.name());
        return Err(inequivalent(entity, "type", quoted(kind), quoted(exchange.kind)));
    }
    assert_flag(entity, "durable", exchange.durable, method.durable)?;
    assert_flag(entity, "auto_delete", exchange.auto_delete, method.auto_delete)?;
    assert_flag(entity, "internal", exchange.internal, method.internal)?;
    let name = "alternate-exchange";
    assert_field(entity, name, exchange.arguments.get(name), arguments.get(name))
}

/// Compares a flag of two declarations.
pub(super) fn assert_flag(
    entity: Entity<'_>,
    name: &str,
    current: bool,
    received: bool,
) -> Result<(), Refusal> {
    if current == received {
        return Ok(());
    }
    Err(inequivalent(entity, name, format_args!("'{received}'"), format_args!("'{current}'")))
}
