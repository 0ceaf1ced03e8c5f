//! Finite state machines: pure, deterministic, and free of any protocol.
//!
//! A machine takes events, one at a time, and gives actions. It holds no clock, socket, task or
//! random source: time is an argument ([`Time`]), and what is to be done in the world comes out
//! as data. So the same machine runs under a driver, in a simulation and in a model checker.
//!
//! - [`Machine`] runs a [`Behaviour`]: states, events, and a constant [`Table`] of what is legal.
//! - [`Supervisor`] is such a machine: it keeps one link alive (back-off, circuit breaker, one
//!   attempt at a time, orderly closing), whatever the link speaks.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod aside;
mod context;
pub mod diagram;
mod error;
mod hooks;
mod label;
mod machine;
mod outcome;
mod scope;
mod stats;
pub mod supervisor;
mod table;
mod time;

pub use context::{Context, Overdue};
pub use error::{Error, Refusal};
pub use hooks::{Hooks, Observer, Transition};
pub use label::{CauseId, Label, Signal, labels};
pub use machine::{Behaviour, ErrorOf, Machine, Status, TransitionOf};
pub use outcome::{Outcome, Reaction};
pub use scope::{QueueFull, Scope};
pub use stats::{InState, Stats};
pub use supervisor::Supervisor;
pub use table::{Guard, Node, On, Row, Step, Table, TableFlaw, on, on_deadline};
pub use time::Time;
