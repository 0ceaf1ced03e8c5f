//! Who may do what. RabbitMQ checks names before it looks whether there is such a thing.

use super::{ConnId, Core, Name, Refusal, refusal::Entity};
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
