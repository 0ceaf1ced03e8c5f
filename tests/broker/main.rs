//! The embedded broker, spoken to in frames, so that no client stands between the test and it.

mod handshake;
mod messages;
#[allow(dead_code)]
mod raw;
mod refusals;
