//! Links to services that speak anything: dialled, probed, recovered and closed by the machine that
//! keeps this crate's AMQP connections alive.
//!
//! A service that talks to RabbitMQ usually talks to something else too: a cache, another bus, a
//! device. Write for it how to dial, how to probe and how to close, as a [`Service`]; a [`Link`] does
//! the rest. It runs [`fsm::Supervisor`], so it has at most one attempt under way, backs off, opens a
//! circuit breaker, is degraded while signs of life are late, restores what was on the link, closes in
//! order, and can be dialled again after its end.
//!
//! What the *types* say: a `Link<Connected, T>` was up once, and a `Link<Disconnected, T>` can be
//! dialled. What the *machine* says, by [`Link::state`]: whether the link is up at this instant.
//!
//! ```
//! use hopmq::link::{Link, Restored, Retry, Service, State};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! /// A peer that speaks over TCP.
//! struct Peer(String);
//!
//! impl Service for Peer {
//!     type Session = TcpStream;
//!     type Error = std::io::Error;
//!
//!     async fn dial(&self) -> std::io::Result<TcpStream> {
//!         TcpStream::connect(&self.0).await
//!     }
//!
//!     async fn probe(&self, stream: &TcpStream) -> std::io::Result<()> {
//!         stream.writable().await // a real one asks something and waits for the answer
//!     }
//!
//!     async fn close(&self, _: &TcpStream) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let link = Link::new(Peer(listener.local_addr()?.to_string())); // Link<Disconnected, Peer>
//! let link = link.connect().await?;                               // Link<Connected, Peer>
//! assert_eq!(link.state(), State::Connected);
//!
//! let stream = link.session()?; // the session that is up now, or at once why there is none
//! assert!(stream.peer_addr().is_ok());
//!
//! let link = link.close().await; // Link<Disconnected, Peer> again
//! assert_eq!(link.stats().attempts, 1);
//! # Ok(()) }
//! ```
//!
//! # What is visible
//! - [`Link::state`], [`Link::stats`], and a [`Monitor`] that can be cloned and given away; it waits
//!   for states ([`Monitor::reaches`]) and tells when the open breaker lets an attempt through.
//! - [`Link::transitions`], a stream of every transition; hooks ([`Settings::hooks`]), which run beside
//!   the machine on threads of their own, so that a slow one holds nothing up.
//! - Every transition is logged with the link's id, by [`tracing`], target `hopmq::link`.
//!
//! # What is bounded
//! Attempts, recovery and closing have the deadlines of the [`Policy`]; probes those of [`Pulse`];
//! whoever waits for the link sets one by [`Ready::within`]. Readers of transitions that fall behind
//! skip, and are told how many they missed; nothing grows.
//!
//! [`fsm::Supervisor`]: crate::fsm::Supervisor

mod capability;
mod core;
mod error;
mod handle;
mod hooks;
mod lease;
mod monitor;
mod pulse;
mod service;
mod settings;
mod shared;
mod task;
mod transition;
mod wait;

pub use crate::fsm::supervisor::{
    Backoff, Breaker, End, Hooks, Policy, Reasons, Resume, Retry, State, Stats, Transition,
};
pub use capability::{CanDial, IsLinked};
pub use error::{Ended, Failed, Fault, Unavailable};
pub use handle::{Connected, Disconnected, Link, LinkState};
pub use lease::Lease;
pub use monitor::{Monitor, Reaches, Transitions};
pub use service::{Failure, Restored, Service};
pub use settings::{Pulse, Settings};
pub use transition::{Closing, Connecting};
pub use wait::{Closed, Ready};
