//! Declaring queues.

use super::{
    At, ConnId, Core, Name, Refusal, Reply,
    arguments::{QueueKind, Settings, assert_equivalent},
    queue::{Consumers, Queue, QueueId, Ready},
    refusal::Entity,
    reply_to::{ANY_ADDRESS, is_address},
    stream::Log,
    topology::{assert_flag, clean, counted, decode, queue_entity},
};
use crate::{
    broker::permissions::Access,
    fsm::Time,
    wire::{FieldTable, ReplyCode, ShortStr, Value, method::queue},
};

impl Core {
    /// queue.declare
    pub(crate) fn queue_declare(
        &mut self,
        at: At,
        method: &queue::Declare<'_>,
        now: Time,
    ) -> Result<(), Refusal> {
        let name = clean(method.queue);
        let (name, messages, consumers) = if is_address(&name) {
            self.declare_reply_address(at, name)?
        } else if method.passive {
            self.find_declared(at, name, now)?
        } else {
            self.declare_queue(at, name, method, now)?
        };
        self.channel(at)?.last_queue = name.clone();
        let reply = Reply::QueueDeclareOk { name, messages, consumers };
        self.answer(at, method.no_wait, reply);
        Ok(())
    }

    fn declare_queue(
        &mut self,
        at: At,
        name: Name,
        method: &queue::Declare<'_>,
        now: Time,
    ) -> Result<(Name, u32, u32), Refusal> {
        let mut arguments = decode(method.arguments)?;
        if arguments.get("x-queue-type").is_none() {
            let classic = Value::LongString(bytes::Bytes::from_static(b"classic"));
            super::message::put(&mut arguments, "x-queue-type", classic);
        }
        let name = if name.is_empty() { self.server_name(&arguments)? } else { name };
        let vhost = self.vhost_of(at.conn)?;
        let vhost_name = vhost.name.clone();
        let entity = queue_entity(&name, &vhost_name);
        self.assert_queue(at.conn, Access::Configure, &name)?;
        let vhost = self.vhost_of(at.conn)?;
        if let Some(&id) = vhost.queues.get(&name) {
            self.assert_same_queue(at.conn, id, entity, method, &arguments)?;
            self.touch(id, now);
            let (messages, consumers) = self.counts(id, now);
            return Ok((name, messages, consumers));
        }
        if name.as_bytes().starts_with(b"amq.") && !method.queue.is_empty() {
            return Err(Refusal::access(format_args!(
                "queue name '{name}' contains reserved prefix 'amq.*'"
            )));
        }
        if let Some(other) = arguments.get("x-dead-letter-exchange")
            && other.as_bytes().is_none()
        {
            return Err(Refusal::precondition(format_args!(
                "invalid type '{}' for arg 'x-dead-letter-exchange' in {entity}",
                super::arguments::type_name(other)
            )));
        }
        if let Some(Value::LongString(dead)) = arguments.get("x-dead-letter-exchange") {
            self.assert_queue(at.conn, Access::Read, &name)?;
            self.assert_exchange(at.conn, Access::Write, &Name::shared(dead.clone()))?;
        }
        let settings = Settings::read(entity, &arguments)?;
        assert_properties(entity, settings.kind, method, self.limits.transient_queues)?;
        self.insert_queue(at.conn, name.clone(), settings, method, arguments, now);
        Ok((name, 0, 0))
    }

    fn insert_queue(
        &mut self,
        conn: ConnId,
        name: Name,
        settings: Settings,
        method: &queue::Declare<'_>,
        arguments: FieldTable,
        now: Time,
    ) {
        self.last_queue += 1;
        let id = QueueId(self.last_queue);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if method.exclusive {
            peer.exclusive.insert(id);
        }
        if let Some(vhost) = self.vhosts.get_mut(peer.vhost) {
            vhost.queues.insert(name.clone(), id);
        }
        let queue = Queue {
            name,
            vhost: peer.vhost,
            // As in RabbitMQ: what ends with a connection does not outlive the broker.
            durable: method.durable && !method.exclusive,
            auto_delete: method.auto_delete,
            owner: method.exclusive.then_some(conn),
            arguments,
            ready: Ready::new(settings.max_priority),
            log: (settings.kind == QueueKind::Stream).then(Log::default),
            consumers: Consumers::new(settings.single_active),
            unacked: 0,
            expiring: settings.message_ttl.is_some(),
            settings,
            used: now,
            timer: None,
        };
        if queue.durable {
            self.topology_changed();
        }
        self.queues.insert(id, queue);
        self.arm(id);
    }

    fn server_name(&mut self, arguments: &FieldTable) -> Result<Name, Refusal> {
        match arguments.get("x-queue-type").and_then(Value::as_str) {
            Some(kind @ ("quorum" | "stream")) => Err(Refusal::precondition(format_args!(
                "Cannot declare a server-named queue for type rabbit_{kind}_queue"
            ))),
            _ => Ok(self.generate_name("amq.gen-")),
        }
    }

    fn find_declared(
        &mut self,
        at: At,
        name: Name,
        now: Time,
    ) -> Result<(Name, u32, u32), Refusal> {
        let name = match name.is_empty() {
            true => self.named_queue(at, ShortStr::empty())?,
            false => name,
        };
        self.assert_any_access(at.conn, "queue", &name)?;
        let id = self.find_queue(at.conn, &name)?;
        self.touch(id, now);
        let (messages, consumers) = self.counts(id, now);
        Ok((name, messages, consumers))
    }

    fn declare_reply_address(&mut self, at: At, name: Name) -> Result<(Name, u32, u32), Refusal> {
        if name != ANY_ADDRESS && !self.is_consumed(&name) {
            let vhost = self.vhost_of(at.conn)?.name.clone();
            return Err(Refusal::not_found(queue_entity(&name, &vhost)));
        }
        Ok((name, 0, 1))
    }

    fn counts(&mut self, id: QueueId, now: Time) -> (u32, u32) {
        self.expire(id, now);
        self.settle_dead(now);
        self.queues.get(&id).map_or((0, 0), |queue| {
            let messages = queue.log.as_ref().map_or(queue.ready.len(), Log::len);
            (counted(messages), counted(queue.consumers.len() as u64))
        })
    }

    fn assert_same_queue(
        &self,
        conn: ConnId,
        id: QueueId,
        entity: Entity<'_>,
        method: &queue::Declare<'_>,
        arguments: &FieldTable,
    ) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(&id) else {
            return Ok(());
        };
        if queue.owner != method.exclusive.then_some(conn) {
            return Err(Refusal::locked(entity));
        }
        assert_flag(entity, "durable", queue.durable, method.durable && !method.exclusive)?;
        assert_flag(entity, "auto_delete", queue.auto_delete, method.auto_delete)?;
        assert_equivalent(entity, queue.settings.kind, &queue.arguments, arguments)
    }
}

/// The flags that a kind of queue can do without, refused in RabbitMQ's order.
fn assert_properties(
    entity: Entity<'_>,
    kind: QueueKind,
    method: &queue::Declare<'_>,
    transient: bool,
) -> Result<(), Refusal> {
    let invalid = |property| {
        Err(Refusal::precondition(format_args!("invalid property '{property}' for {entity}")))
    };
    if kind == QueueKind::Classic {
        if !method.durable && !method.exclusive && !transient {
            // RabbitMQ 4.x denies this feature by default.
            return Err(Refusal::new(ReplyCode::INTERNAL_ERROR, TRANSIENT));
        }
        return Ok(());
    }
    if method.auto_delete {
        return invalid("auto-delete");
    }
    if method.exclusive {
        return invalid("exclusive-owner");
    }
    if !method.durable {
        return invalid("non-durable");
    }
    Ok(())
}

const TRANSIENT: &str = "Feature `transient_nonexcl_queues` is deprecated.\n\
     By default, this feature is not permitted anymore.\n\
     The feature will be removed from a future major RabbitMQ version, regardless of the \
     configuration; actual version to be determined.\n\
     To continue using this feature when it is not permitted by default, set the following \
     parameter in your configuration:\n    \
     \"deprecated_features.permit.transient_nonexcl_queues = true\"";
