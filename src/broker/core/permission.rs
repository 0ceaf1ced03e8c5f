//! Who may do what. RabbitMQ checks names before it looks whether there is such a thing.

use super::{
    ConnId, Core, Name, Refusal,
    exchange::{Exchange, ExchangeKind},
    refusal::Entity,
};
use crate::broker::permissions::Access;

/// What the default exchange is called in permissions.
const DEFAULT_EXCHANGE: Name = Name::literal("amq.default");

impl Core {
    /// Refuses what the user of a connection may not do with a queue.
    pub(super) fn assert_queue(
        &self,
        conn: ConnId,
        access: Access,
        name: &Name,
    ) -> Result<(), Refusal> {
        self.assert_allowed(conn, access, "queue", name)
    }

    /// Refuses what the user of a connection may not do with an exchange.
    pub(super) fn assert_exchange(
        &self,
        conn: ConnId,
        access: Access,
        name: &Name,
    ) -> Result<(), Refusal> {
        let name = if name.is_empty() { &DEFAULT_EXCHANGE } else { name };
        self.assert_allowed(conn, access, "exchange", name)
    }

    /// Refuses who may do nothing at all with an entity: that is what asking whether it exists
    /// takes.
    pub(super) fn assert_any_access(
        &self,
        conn: ConnId,
        kind: &'static str,
        name: &Name,
    ) -> Result<(), Refusal> {
        let assert = |access| self.assert_allowed(conn, access, kind, name);
        let configure = assert(Access::Configure);
        configure.or_else(|refusal| {
            assert(Access::Write).or_else(|_| assert(Access::Read)).map_err(|_| refusal)
        })
    }

    /// Refuses a routing key that the user of a connection may not write to a topic exchange, or
    /// read from it (<https://www.rabbitmq.com/docs/access-control#topic-authorisation>).
    pub(super) fn assert_topic(
        &self,
        conn: ConnId,
        access: Access,
        exchange: &Name,
        key: &[u8],
    ) -> Result<(), Refusal> {
        let Some(peer) = self.peers.get(&conn) else { return Ok(()) };
        let Some(permissions) = &peer.permissions else { return Ok(()) };
        let of_topics = |exchange: &Exchange| exchange.kind == ExchangeKind::Topic;
        let vhost = self.vhosts.get(peer.vhost);
        let found = vhost.and_then(|vhost| vhost.exchanges.get(exchange.as_bytes()));
        if permissions.allows_topic(access, exchange.as_bytes(), key)
            || !found.is_some_and(of_topics)
        {
            return Ok(());
        }
        let vhost = super::topology::vhost_name(&self.vhosts, peer.vhost);
        Err(Refusal::access(format_args!(
            "{} access to topic '{}' in {} refused for user '{}'",
            access.name(),
            String::from_utf8_lossy(key),
            Entity { kind: "exchange", name: exchange, vhost: &vhost },
            peer.user
        ))
        .for_permission())
    }

    fn assert_allowed(
        &self,
        conn: ConnId,
        access: Access,
        kind: &'static str,
        name: &Name,
    ) -> Result<(), Refusal> {
        let Some(peer) = self.peers.get(&conn) else {
            return Ok(());
        };
        let refused = peer
            .permissions
            .as_ref()
            .is_some_and(|permissions| !permissions.allows(access, name.as_bytes()));
        if !refused {
            return Ok(());
        }
        let vhost = super::topology::vhost_name(&self.vhosts, peer.vhost);
        Err(Refusal::access(format_args!(
            "{} access to {} refused for user '{}'",
            access.name(),
            Entity { kind, name, vhost: &vhost },
            peer.user
        ))
        .for_permission())
    }
}
