//! Peers that are broken, hostile or no AMQP broker at all: whatever they send, each call ends with a typed error in
//! bounded time, and memory follows what arrived.

mod floods;
mod handshake;
mod hosts;
mod memory;
mod open;
mod peer;
mod stalls;
