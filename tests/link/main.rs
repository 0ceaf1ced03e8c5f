//! Links to a service that does what a test says, on tokio's paused clock. Nothing of AMQP in it.

mod edges;
mod fake;
mod log;
mod seen;
mod supervised;
mod types;
