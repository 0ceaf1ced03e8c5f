#![cfg_attr(feature = "client", doc = include_str!("front.md"))]
#![cfg_attr(feature = "client", doc = include_str!("table/conn.svg"))]
//!
#![cfg_attr(feature = "client", doc = include_str!("table/chan.svg"))]
//!
//! ```text
#![cfg_attr(feature = "client", doc = include_str!("table/conn.txt"))]
#![cfg_attr(feature = "client", doc = include_str!("table/chan.txt"))]
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// No panic is reachable from what a peer sends or a user gives.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

// Layers import strictly downward: each module uses only those above it in this list.
pub mod fsm;
pub mod wire;

#[cfg(feature = "client")]
pub mod link;

pub mod proto;

#[cfg(feature = "client")]
mod config;
#[cfg(feature = "client")]
mod uri;

#[cfg(feature = "client")]
mod driver;

#[cfg(feature = "client")]
mod any;
#[cfg(feature = "client")]
mod arguments;
#[cfg(feature = "client")]
mod batch;
#[cfg(feature = "client")]
mod binding;
#[cfg(feature = "client")]
mod call;
#[cfg(feature = "client")]
pub mod capability;
#[cfg(feature = "client")]
mod chan;
#[cfg(feature = "client")]
mod confirm;
#[cfg(feature = "client")]
mod confirms;
#[cfg(feature = "client")]
mod conn;
#[cfg(feature = "client")]
mod consumer;
#[cfg(feature = "client")]
mod delete;
#[cfg(feature = "client")]
mod delivery;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod exchange;
#[cfg(feature = "client")]
mod find;
#[cfg(feature = "client")]
pub mod guide;
#[cfg(feature = "client")]
mod handle;
#[cfg(feature = "client")]
mod handover;
#[cfg(feature = "client")]
mod interruption;
#[cfg(feature = "client")]
mod message;
#[cfg(feature = "client")]
mod name;
#[cfg(feature = "client")]
mod publish;
#[cfg(feature = "client")]
mod publish_all;
#[cfg(feature = "client")]
mod publisher;
#[cfg(feature = "client")]
pub mod queue;
#[cfg(feature = "client")]
mod rpc;
#[cfg(feature = "client")]
mod sealed;
#[cfg(feature = "client")]
mod signpost;
#[cfg(feature = "client")]
pub mod table;
#[cfg(feature = "client")]
mod usage;
#[cfg(feature = "client")]
mod watch;

#[cfg(feature = "service")]
pub mod service;

#[cfg(feature = "broker")]
pub mod broker;

#[cfg(feature = "broker")]
pub mod peer;

#[cfg(feature = "broker")]
pub mod testkit;

#[cfg(feature = "client")]
pub use any::{AnyChan, OtherState};
#[cfg(feature = "client")]
pub use batch::Batch;
#[cfg(feature = "client")]
pub use binding::{BindingArgument, BindingTarget, Match, Pattern, RawBinding, Weight};

#[cfg(feature = "client")]
pub use call::Call;
#[cfg(feature = "client")]
pub use chan::{
    Chan, ChanState, Closed, ClosingChan, ConfirmSelect, Confirming, Open, Reopen, Transactional,
    TxSelect,
};
#[cfg(feature = "client")]
pub use config::{
    Address, Config, ConfigError, Credentials, CredentialsProvider, EnvError, Hold, IssueError,
    Issued, Limits, MakeHooks, Mechanism, Provider, Scheme, Secret, Tls,
};
#[cfg(feature = "client")]
pub use confirm::{Confirm, ConfirmError};
#[cfg(feature = "client")]
pub use confirms::{AllConfirms, Confirms};
#[cfg(feature = "client")]
pub use conn::{Closing, Conn, ConnState, Connected, Connecting, Disconnected};
#[cfg(feature = "client")]
pub use consumer::{
    AutomaticConsumer, Consumable, Consume, ConsumeAutomatically, Consumer, DEFAULT_PREFETCH,
    NeedsPrefetch, Next,
};
#[cfg(feature = "client")]
pub use delete::{DeleteExchange, DeleteQueue};
#[cfg(feature = "client")]
pub use delivery::{Delivery, Receipt};
#[cfg(feature = "client")]
pub use driver::dial::{Attempt, AttemptError, DialError, DialStep};
#[cfg(feature = "tls")]
pub use driver::tls::TlsError;
#[cfg(feature = "client")]
pub use error::{Blame, ConsumeError, Error, Failed, Unconfirmed};
#[cfg(feature = "client")]
pub use exchange::{Direct, Exchange, ExchangeDeclaration, Fanout, Headers, RouteTo, Topic};
#[cfg(feature = "client")]
pub use find::Find;
#[cfg(feature = "client")]
pub use interruption::{Interruption, Interruptions, Missed};
#[cfg(feature = "client")]
pub use message::{Message, MessageProperties, Received, ReplyName, ReplyTo};
#[cfg(feature = "client")]
pub use name::{Declare, Name, Passive};
#[cfg(feature = "client")]
pub use proto::{ChanStats, LeftOver, Traffic, WhenCancelled};
#[cfg(feature = "client")]
pub use publish::{Publish, PublishUnconfirmed, Returned, Returns};
#[cfg(feature = "client")]
pub use publish_all::{PartlyPublished, PublishAll, PublishAllUnconfirmed, Untried};
#[cfg(feature = "client")]
pub use publisher::Publisher;
#[cfg(feature = "client")]
pub use queue::{
    Classic, DeadLetter, Overflow, Queue, QueueDeclaration, Quorum, SingleActive, Stream,
};
#[cfg(feature = "client")]
pub use rpc::{
    PendingReply, Replied, ReplyError, Request, Responder, RpcCall, RpcClient, RpcError,
    ServeError, StartRpc,
};
#[cfg(feature = "client")]
pub use uri::{Uri, UriError, UriPart};
#[cfg(feature = "client")]
pub use usage::UsageError;
#[cfg(feature = "client")]
pub use watch::{
    Blocked, ConnectionState, ConnectionStats, Ended, StateChange, StateChanges, Unblocked,
};

/// The README's programs compile.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
mod readme {}
