//! The embedded broker, spoken to in frames, so that no client stands between the test and it.

mod differential;
mod events;
mod faults;
mod handshake;
mod messages;
mod order;
mod permissions;
mod raw;
mod refusals;
mod stopping;
mod tls;
mod virtual_time;
