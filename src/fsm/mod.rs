//! Finite state machines: pure, deterministic, and free of any protocol.
//!
//! A machine takes events, one at a time, and gives actions. It holds no clock, socket, task or
//! random source: time is an argument ([`Time`]), and what is to be done in the world comes out
//! as data. So the same machine runs under a driver, in a simulation and in a model checker.
//!
//! - [`Machine`] runs a [`Behaviour`]: states, events, and a constant [`Table`] of what is legal.
//! - [`Supervisor`] is such a machine: it keeps one link alive (back-off, circuit breaker, one
//!   attempt at a time, orderly closing), whatever the link speaks.
//! - [`guide`] shows how to write a machine of your own; [`diagram`] draws any machine's table.
//!
//! # Why not a library
//!
//! The machine is ours because of what it must be all at once: pure (time as an argument, actions as
//! data instead of callbacks), free of allocation per event, equal and hashable as a whole, so that a
//! model checker can run the real thing, and driven by a table that is plain constant data. The price
//! is this module; it brings no dependency, and one table serves run time, tests and drawings.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod aside;
mod behaviour;
mod context;
pub mod diagram;
mod error;
pub mod guide;
mod hooks;
mod label;
mod machine;
mod outcome;
mod scope;
mod stats;
pub mod supervisor;
mod table;
mod time;

pub(crate) use aside::Aside;
pub use behaviour::{Behaviour, ErrorOf, TransitionOf};
pub use context::{Context, Overdue};
pub use error::{Error, Refusal};
pub use hooks::{Hooks, Observer, Transition};
pub use label::{CauseId, Label, Signal, labels};
pub use machine::{Machine, Status};
pub use outcome::{Outcome, Reaction};
pub use scope::{QueueFull, Scope};
pub use stats::{InState, Stats};
pub use supervisor::Supervisor;
pub use table::{Guard, Node, On, Row, Step, Table, TableFlaw, on, on_deadline};
pub use time::Time;
