//! The tokio driver: sockets, time and tasks around the pure connection.
//!
//! One [`task`] per connection owns the socket; [`shared`] is what it and the handles have in
//! common: the pure connection under one mutex. A command encodes into the outbound batch under
//! that lock and wakes the task once.

mod attempt;
mod blocks;
pub(crate) mod dial;
mod history;
mod hooks;
mod names;
mod refresh;
mod sasl;
mod settings;
mod shared;
mod stand_in;
mod sync;
mod task;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod trace;
mod untaken;
mod waiters;

// Hidden methods of sealed public traits name them, so they are `pub` though nobody can reach them.
#[allow(unreachable_pub)]
pub use names::Renamed;
#[allow(unreachable_pub)]
pub use shared::Shared;
pub(crate) use task::spawn;
pub(crate) use untaken::Untaken;
