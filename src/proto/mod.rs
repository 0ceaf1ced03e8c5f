//! The pure protocol: the client's connection as one value, without socket, clock or task.
//!
//! The law of this layer: **one change, then drain**. A driver calls one `handle_*` method or one
//! command of [`Connection`], then takes what came of it, in this order:
//!
//! 1. [`Connection::poll_action`]: what to do in the world (dial, shut the socket);
//! 2. [`Connection::take_batch`]: bytes to write;
//! 3. [`Connection::take_wakes`]: futures to poll again;
//! 4. [`Connection::poll_transition`]: for logs and watchers;
//! 5. [`Connection::poll_timeout`]: when to call [`Connection::handle_timeout`].
//!
//! Whoever shares a connection between tasks puts one mutex around it. Since every command encodes
//! into the batch at once, the order of calls is the order on the wire, by construction; a publish
//! either is in the batch before a transition or is refused after it.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod assembly;
mod batch;
mod calls;
mod channel;
mod channel_machine;
mod connection;
mod consumer;
mod content;
mod core;
mod fault;
mod handshake;
mod head;
mod heartbeat;
mod ids;
mod inbound;
mod inequivalent;
mod interruption;
mod ledger;
mod offsets;
mod records;
mod request;
mod settings;
mod topology;
mod traffic;
mod unsettled;

#[cfg(test)]
mod tests;

pub use assembly::{Assembly, Partial};
pub use batch::{Batch, SPLICE_FROM};
pub use calls::{CallId, Calls};
pub use channel::{DIRECT_REPLY_TO, ReturnedContent, SEQUENCE_HEADER, SettleError, Settlement};
pub use channel_machine::{
    ChannelBehaviour, ChannelEvent, ChannelMachine, ChannelState, ChannelTransition, Operation,
};
pub use connection::{
    Accepted, Action, Change, Connection, Encoded, EntityReport, LeftOver, NotRecovered, Outgoing,
    Publishing, Route, Turn,
};
pub use consumer::{Arrival, Consumer, ConsumerEnd, ConsumerPhase, Marks};
pub use content::{Body, Content, Discarded};
pub use fault::{CallError, Cause, Exception, Loss, Scope, Violation};
pub use handshake::{AwaitOpenOk, AwaitStart, AwaitTune, Negotiated, Step};
pub use heartbeat::Heartbeat;
pub use ids::ChannelIds;
pub use inequivalent::Inequivalent;
pub use interruption::{Interruption, Interruptions, Missed};
pub use ledger::{Kept, Ledger, Outcome};
pub use offsets::Offsets;
pub use request::{
    BindingSpec, ConsumeSpec, ExchangeSpec, QueueSpec, Reply, Request, Upkeep, WhenCancelled,
    consumer_number, consumer_tag,
};
pub use settings::{FRAME_MAX_CAP, Limits, Mechanism, Secret, Settings};
pub use topology::{Destination, Entity, Topology};
pub use traffic::{ChanStats, Traffic};
pub use unsettled::{Ack, Unsettled};

/// Somebody who waits: the driver keeps a waker under this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaiterId {
    /// The place of the waker.
    pub index: u32,
    /// Tells successive users of that place apart.
    pub generation: u32,
}

/// Waiters that are to be woken.
pub type Wakes = Vec<WaiterId>;

/// Names a channel of a connection, also after it has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    index: u32,
    generation: u32,
}

impl ChannelKey {
    fn index(self) -> u32 {
        self.index
    }
}

/// Names a consumer of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    /// Its channel.
    pub channel: ChannelKey,
    /// Its number there, of which its tag is made.
    pub number: u32,
}
