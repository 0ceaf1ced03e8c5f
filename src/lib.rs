//! A typestate-driven AMQP 0-9-1 client for RabbitMQ on tokio:
//! the wrong program does not compile, and the right program survives the broker.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

// Layers import strictly downward: each module uses only those above it in this list.
pub mod fsm;
pub mod wire;

pub mod proto;

#[cfg(feature = "client")]
mod config;
#[cfg(feature = "client")]
mod uri;

#[cfg(feature = "client")]
mod driver;

#[cfg(feature = "broker")]
pub mod broker;

#[cfg(feature = "client")]
pub use config::{
    Address, Config, ConfigError, Credentials, CredentialsProvider, EnvError, Hold, IssueError,
    Issued, Limits, Mechanism, Provider, Scheme, Secret, Tls,
};
#[cfg(feature = "client")]
pub use driver::dial::{Attempt, AttemptError, DialError, DialStep};
#[cfg(feature = "tls")]
pub use driver::tls::TlsError;
#[cfg(feature = "client")]
pub use uri::{Uri, UriError, UriPart};
