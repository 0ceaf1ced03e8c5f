//! What a broker can do in which state, as the client's handles have it (`capability`): each
//! trait is implemented for exactly the states in which an operation is legal, and tells the
//! compiler's reader which call leads there.
//!
//! A test compares them with the table of states and operations
//! ([`table::BROKER`](crate::table::BROKER)).

use std::{net::SocketAddr, sync::Arc};

use super::{Broker, Builder, event::Source, shared::Shared};

/// Keeps the states to this crate.
pub trait Sealed {}

/// The state of a broker that is configured and has no port.
#[derive(Debug)]
pub enum Unbound {}

/// The state of a broker that serves whoever connects.
#[derive(Debug)]
pub enum Listening {}

/// The state of a broker that has freed its ports and ends its connections.
#[derive(Debug)]
pub enum Draining {}

/// The state of a broker whose connections have ended; what its queues hold can be looked at.
#[derive(Debug)]
pub enum Stopped {}

/// A state of [`Broker`].
pub trait BrokerState: Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Inner: Send + Sync;
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    fn plan(inner: &Self::Inner) -> &Plan;
}

impl Sealed for Unbound {}
impl Sealed for Listening {}
impl Sealed for Draining {}
impl Sealed for Stopped {}

impl BrokerState for Unbound {
    type Inner = Box<Plan>;
    const NAME: &'static str = "Unbound";

    fn plan(inner: &Box<Plan>) -> &Plan {
        inner
    }
}

impl BrokerState for Listening {
    type Inner = Box<Running>;
    const NAME: &'static str = "Listening";

    fn plan(inner: &Box<Running>) -> &Plan {
        &inner.plan
    }
}

impl BrokerState for Draining {
    type Inner = Box<Running>;
    const NAME: &'static str = "Draining";

    fn plan(inner: &Box<Running>) -> &Plan {
        &inner.plan
    }
}

impl BrokerState for Stopped {
    type Inner = Box<Running>;
    const NAME: &'static str = "Stopped";

    fn plan(inner: &Box<Running>) -> &Plan {
        &inner.plan
    }
}

/// What a broker is made from, and whom it tells what happens.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) builder: Builder,
    pub(super) source: Arc<Source>,
}

/// A broker from its first port on. Dropping it frees the ports and ends the connections; the
/// handle itself has no `Drop`, since its transitions take it apart.
#[doc(hidden)]
#[derive(Debug)]
pub struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) address: SocketAddr,
    /// Of the first port: `amqp` or `amqps`.
    pub(super) scheme: &'static str,
    /// Of the first user, as an address has them.
    pub(super) credentials: String,
    /// To bind it again.
    pub(super) plan: Plan,
    /// Connections that did not end by themselves.
    pub(super) cut: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
        #[cfg(feature = "durable")]
        self.shared.finish();
    }
}

impl Sealed for Broker<Unbound> {}
impl Sealed for Broker<Listening> {}
impl Sealed for Broker<Draining> {}
impl Sealed for Broker<Stopped> {}

/// A broker that can be bound: `Broker<Unbound>`.
#[diagnostic::on_unimplemented(
    message = "this broker was bound already",
    label = "this is a `{Self}`; `listen` needs a `Broker<Unbound>`",
    note = "on a `Broker<Listening>`, for a further port write `broker.also_listen(\"127.0.0.1:0\").await?`",
    note = "on a `Broker<Draining>`, first write `let broker = broker.stopped(Duration::from_secs(5)).await;`",
    note = "on a `Broker<Stopped>`, first write `let broker = broker.into_unbound();`"
)]
pub trait CanListen: Sealed {
    #[doc(hidden)]
    fn into_plan(self) -> Box<Plan>;
}

/// A broker that serves whoever connects: `Broker<Listening>`.
#[diagnostic::on_unimplemented(
    message = "this broker is not listening",
    label = "this is a `{Self}`; this call needs a `Broker<Listening>`",
    note = "on a `Broker<Unbound>`, first write `let broker = broker.listen(\"127.0.0.1:0\").await?;`",
    note = "what drains or has stopped does not listen again: bind another one with `Broker::bind(\"127.0.0.1:0\").await?`, or write `let broker = broker.into_unbound();` once it has stopped"
)]
pub trait IsListening: Sealed {
    #[doc(hidden)]
    fn listening(&self) -> &Running;
    #[doc(hidden)]
    fn into_running(self) -> Box<Running>;
}

/// A broker that has connections: `Broker<Listening>` and `Broker<Draining>`.
#[diagnostic::on_unimplemented(
    message = "this broker has no connections",
    label = "this is a `{Self}`; this call needs a `Broker<Listening>` or `Broker<Draining>`",
    note = "on a `Broker<Unbound>`, first write `let broker = broker.listen(\"127.0.0.1:0\").await?;`",
    note = "on a `Broker<Stopped>`, first write `let broker = broker.into_unbound().listen(\"127.0.0.1:0\").await?;`"
)]
pub trait IsServing: Sealed {
    #[doc(hidden)]
    fn serving(&self) -> &Running;
}

/// A broker that ends its connections: `Broker<Draining>`.
#[diagnostic::on_unimplemented(
    message = "this broker is not draining",
    label = "this is a `{Self}`; `stopped` needs a `Broker<Draining>`",
    note = "on a `Broker<Listening>`, first write `let broker = broker.drain();`",
    note = "a `Broker<Unbound>` has nothing to end, a `Broker<Stopped>` has ended: there is nothing to write"
)]
pub trait IsDraining: Sealed {
    #[doc(hidden)]
    fn into_draining(self) -> Box<Running>;
}

/// A broker that has exchanges and queues to look at: `Broker<Listening>`, `Broker<Draining>` and
/// `Broker<Stopped>`.
#[diagnostic::on_unimplemented(
    message = "this broker holds nothing yet",
    label = "this is a `{Self}`; this call needs a `Broker<Listening>`, `Broker<Draining>` or `Broker<Stopped>`",
    note = "first write `let broker = broker.listen(\"127.0.0.1:0\").await?;`"
)]
pub trait HoldsState: Sealed {
    #[doc(hidden)]
    fn holding(&self) -> &Running;
}

/// A broker that has ended: `Broker<Stopped>`.
#[diagnostic::on_unimplemented(
    message = "this broker has not stopped",
    label = "this is a `{Self}`; this call needs a `Broker<Stopped>`",
    note = "on a `Broker<Listening>`, first write `let broker = broker.drain().stopped(Duration::from_secs(5)).await;`",
    note = "on a `Broker<Draining>`, first write `let broker = broker.stopped(Duration::from_secs(5)).await;`",
    note = "a `Broker<Unbound>` has not begun: first write `let broker = broker.listen(\"127.0.0.1:0\").await?;`"
)]
pub trait IsStopped: Sealed {
    #[doc(hidden)]
    fn stopped_running(&self) -> &Running;
}

impl CanListen for Broker<Unbound> {
    fn into_plan(self) -> Box<Plan> {
        self.inner
    }
}

impl IsListening for Broker<Listening> {
    fn listening(&self) -> &Running {
        &self.inner
    }

    fn into_running(self) -> Box<Running> {
        self.inner
    }
}

impl IsServing for Broker<Listening> {
    fn serving(&self) -> &Running {
        &self.inner
    }
}

impl IsServing for Broker<Draining> {
    fn serving(&self) -> &Running {
        &self.inner
    }
}

impl IsDraining for Broker<Draining> {
    fn into_draining(self) -> Box<Running> {
        self.inner
    }
}

impl HoldsState for Broker<Listening> {
    fn holding(&self) -> &Running {
        &self.inner
    }
}

impl HoldsState for Broker<Draining> {
    fn holding(&self) -> &Running {
        &self.inner
    }
}

impl HoldsState for Broker<Stopped> {
    fn holding(&self) -> &Running {
        &self.inner
    }
}

impl IsStopped for Broker<Stopped> {
    fn stopped_running(&self) -> &Running {
        &self.inner
    }
}
